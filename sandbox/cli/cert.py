"""`sandbox cert renew`: new certificates under the same keys; a running service takes them without a restart."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.common import DeploymentOption, JsonOption, emit
from sandbox.cli.moments import told_time
from sandbox.values import JsonObject

app = typer.Typer(help="Renew certificates.", no_args_is_help=True)


@app.callback()
def certificates() -> None:
    """Renew certificates."""


@app.command("renew")
def renew(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="`server`, the service's own, or a client such as `agent`.")
    ] = "server",
    host: Annotated[
        list[str] | None,
        typer.Option(help="A further host name or address of the server; may be given again."),
    ] = None,
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """Sign a key anew for a year. The file is replaced whole; a running service takes it at the next handshake.

    A token works with one certificate only, so a client's token is minted anew too, with the same scope and the same
    end, unless it has ended or been revoked.
    """
    from sandbox.deployment import Deployment, Misconfigured
    from sandbox.settings import read_settings

    opened = Deployment(deployment.resolve())
    settings, _ = read_settings(opened.settings)
    if name == "server":
        from sandbox.identity.enrolment import certificate_ends, renew_server

        facts: JsonObject = {
            "certificate": str(opened.pki / "server.pem"),
            "expires_at": certificate_ends(renew_server(opened, host or ())),
        }
    else:
        if host:
            raise Misconfigured("--host: only the server's certificate has host names")
        from sandbox.identity.inspection import renew_identity

        facts = renew_identity(opened, settings.identity, name)
    emit(facts) if json else _print(facts)


def _print(facts: JsonObject) -> None:
    ends = facts["expires_at"]
    told = told_time(ends, time.time()) if isinstance(ends, int) else ""
    sys.stdout.write(f"renewed {facts['certificate']}; it ends {told}\n")
    if "token" in facts:
        what = "none was there" if facts["token"] is None else f"minted anew, {facts['token']}"
        sys.stdout.write(f"token: {facts.get('why') or what}\n")
