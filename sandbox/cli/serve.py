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
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that serve, 1 to 64; each may use a core.")
    ] = 1,
) -> None:
    """Serve the deployment's tools over gRPC with mutual TLS.

    Prints one line `ready grpc=HOST:PORT …` when calls are answered. Specs, policies and connections are reloaded when
    their files change; SIGTERM or Ctrl-C drains and ends, a second one ends at once.
    """
    check_seconds("--grace", grace, 0.0, MOST_GRACE_S)
    if workers == 1:
        from sandbox.serving import serve_forever

        serve_forever(deployment, listen=listen, grace_s=grace)
    else:
        from sandbox.workers.parent import serve_with_workers

        serve_with_workers(deployment, listen=listen, grace_s=grace, workers=workers)
