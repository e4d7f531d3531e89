"""`sandbox new tool`: a first spec from a live table, to be narrowed by its author."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.common import DeploymentOption, JsonOption, emit, wrapped

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
    """Write a tool spec that shows every column of one table, for its author to narrow.

    It passes lint as written: outside `toolspecs/` it is a draft, within it a running service offers it at once.
    """
    from sandbox.deployment import Deployment
    from sandbox.executors import read_catalogue
    from sandbox.settings import read_settings
    from sandbox.specs import read_connections
    from sandbox.specs.starter import starter_spec

    folder = Deployment(deployment)
    connections = read_connections(folder, read_settings(folder.settings)[0])
    name, text = starter_spec(connections, connection, table, name, read_catalogue)
    if out is not None:
        _write_new(out, text)
    if json:
        emit({"name": name, "file": "" if out is None else str(out), "spec": text})
    elif out is None:
        sys.stdout.write(text)
    else:
        is_live = out.resolve().parent == Deployment(deployment).toolspecs.resolve()
        sys.stdout.write(wrapped(_next(out, name, is_live=is_live)) + "\n")


def _next(out: Path, name: str, *, is_live: bool) -> str:
    """Return what was written, who sees it, and what its author does now."""
    check = f"`sandbox lint` and `sandbox test {name}`"
    if is_live:
        told = f"{out}: tool {name}; a running service offers it from now on, with every column listed"
        return f"{told}; narrow its columns now, or move the file out of toolspecs/ until that is done; then {check}"
    told = f"{out}: a draft of tool {name}, with every column listed; nobody is offered it yet"
    return f"{told}; next: narrow its columns, move it into toolspecs/, then {check}"


def _write_new(out: Path, text: str) -> None:
    from sandbox.deployment import Misconfigured

    try:
        with out.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise Misconfigured(f"{out}: exists already; name a new file") from error
    except OSError as error:
        raise Misconfigured(f"{out}: cannot be written ({error.strerror})") from error
