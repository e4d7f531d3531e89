"""`sandbox new tool`: a first spec from a live table, to be narrowed by its author."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.common import DeploymentOption, JsonOption, emit

app = typer.Typer(help="Write first drafts.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Write first drafts."""


@app.command("tool")
def tool(
    connection: Annotated[str, typer.Option("--connection", help="A connection of `connections.toml`.")],
    table: Annotated[str, typer.Option("--table", help="A table or view within its ceiling.")],
    name: Annotated[str, typer.Option("--name", help="The tool's name.", show_default="CONNECTION.TABLE")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="A new file; it is never overwritten.", show_default="stdout")
    ] = None,
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Write a tool spec for one table: it passes lint as written, and `sandbox test` can run its examples."""
    from sandbox.deployment import Deployment
    from sandbox.executors import read_catalogue
    from sandbox.specs import read_connections
    from sandbox.specs.starter import starter_spec

    connections = read_connections(Deployment(deployment))
    name, text = starter_spec(connections, connection, table, name, read_catalogue)
    if out is not None:
        _write_new(out, text)
    if json:
        emit({"name": name, "file": "" if out is None else str(out), "spec": text})
    elif out is None:
        sys.stdout.write(text)
    else:
        sys.stdout.write(
            f"{out}: tool {name}; next: narrow its columns, then `sandbox lint` and `sandbox test {name}`\n"
        )


def _write_new(out: Path, text: str) -> None:
    from sandbox.deployment import Misconfigured

    try:
        with out.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise Misconfigured(f"{out}: exists already; name a new file") from error
    except OSError as error:
        raise Misconfigured(f"{out}: cannot be written ({error.strerror})") from error
