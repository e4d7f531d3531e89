"""`sandbox init DIR`: make a deployment folder with everything a first call needs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.common import JsonOption, emit

CONTENTS = (
    ("sandbox.toml", "settings, each with its default"),
    ("connections.toml", "databases, and the most any tool may reach in them"),
    ("toolspecs/", "one YAML file a tool"),
    ("policies/", "who may do what, in Cedar"),
    ("schema/", "the editors' schema of tool specs"),
    ("pki/", "private CA, server and client certificates"),
    ("keys/", "four private keys (0600); log.vkey and log-mldsa44.vkey, for everybody"),
    ("tokens/", "one a client"),
    ("state/", "the log, revocations; yours alone"),
)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; it must be new or empty.")],
    name: Annotated[
        str, typer.Option(help="Names the service in its log and certificates, such as `shop.example.com`.")
    ] = "sandbox.example",
    host: Annotated[
        list[str] | None,
        typer.Option(help="A host name or address clients will use, beside localhost; may be given again."),
    ] = None,
    example: Annotated[bool, typer.Option(help="With the example shop: a database, a connection, two tools.")] = True,
    json: JsonOption = False,
) -> None:
    """Make a deployment: settings, keys, a private CA, and the identities `agent` and `reviewer`.

    Everything is made or nothing is. No key in it leaves this machine.
    """
    from sandbox.founding import create_deployment

    deployment = create_deployment(folder, name=name, hosts=host or (), with_example=example)
    following = [f"cd {shlex.quote(str(folder))}", "sandbox lint", "sandbox serve"]
    if json:
        verifier_key = (deployment.keys / "log.vkey").read_text("utf-8").strip()
        emit(
            {
                "deployment": str(deployment.root),
                "name": name,
                "log_key": verifier_key,
                "identities": ["agent", "reviewer"],
                "next": following,
            }
        )
        return
    _print(deployment.root, following, is_example=example)


def _print(root: Path, following: list[str], *, is_example: bool) -> None:
    lines = [f"made the deployment {root}", ""]
    lines += [f"  {name:<18}{what}" for name, what in CONTENTS]
    lines += ["", "identities, each with a certificate and a token: agent, reviewer"]
    lines += ["", "next:", f"    {' && '.join(following)}"]
    if is_example:
        call = 'sandbox call shop.query --args \'{"sql": "SELECT count(*) FROM orders"}\''
        lines += ["and, from another terminal in the same folder:", f"    {call}"]
    sys.stdout.write("\n".join(lines) + "\n")
