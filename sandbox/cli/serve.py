"""`sandbox serve`: run the service over one deployment until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from sandbox.cli.common import DeploymentOption, check_seconds

MOST_GRACE_S: Final = 86_400.0


def serve(
    deployment: DeploymentOption = Path(),
    listen: Annotated[str, typer.Option(help="HOST:PORT instead of `server.listen`; port 0 takes a free one.")] = "",
    grace: Annotated[
        float, typer.Option(help="Seconds that running calls get after SIGTERM or Ctrl-C, 0 to 86400.")
    ] = 10.0,
) -> None:
    """Serve the deployment's tools over gRPC with mutual TLS.

    Prints one line `ready grpc=HOST:PORT …` when calls are answered. Specs, policies and connections are reloaded when
    their files change; SIGTERM or Ctrl-C drains and ends, a second one ends at once.
    """
    from sandbox.serving import serve_forever

    check_seconds("--grace", grace, 0.0, MOST_GRACE_S)
    serve_forever(deployment, listen=listen, grace_s=grace)
