"""`sandbox mcp`: a bridge between an MCP host on this machine, over stdin and stdout, and the running service."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.common import DeploymentOption
from sandbox.deployment import Misconfigured


def mcp(
    name: Annotated[
        str, typer.Option("--as", help="The identity to call as; its files are read, and read again.")
    ] = "agent",
    plain_names: Annotated[
        bool, typer.Option("--plain-names", help="Call `shop.query` `shop__query`, for hosts that take no dot.")
    ] = False,
    address: Annotated[str, typer.Option(help="HOST:PORT of the service; by default the one running over DIR.")] = "",
    deployment: DeploymentOption = Path(),
) -> None:
    """Offer the service's tools to an MCP host that starts this command; it speaks MCP on stdin and stdout.

    Certificate, key and token stay in the deployment's files. Both revisions are spoken, 2026-07-28 and 2025-11-25.
    """
    if importlib.util.find_spec("mcp") is None:
        raise Misconfigured("`sandbox mcp` needs the MCP SDK: install the project with its extra `mcp`")
    from sandbox.build import build_id
    from sandbox.cli.asking import identity_of
    from sandbox.doors.mcp.bridge import Bridge, serve_stdio

    identity_of(deployment, name)  # or it ends here, with a sentence, and not at the host's first call
    serve_stdio(Bridge(deployment, name, address), build_id(), has_plain_names=plain_names)
