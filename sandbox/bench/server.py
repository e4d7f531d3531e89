"""The server process of a bench: the whole service with an echo RPC beside it, or a bare grpcio echo."""

from __future__ import annotations

import sys
from pathlib import Path

from sandbox.deployment import Deployment


def main(kind: str, root: Path) -> None:
    """Serve until stdin closes: `service` or `bare`."""
    if kind == "bare":
        from sandbox.doors.rpc.echo import serve_bare_echo

        serve_bare_echo(Deployment(root), threads=96)
        return
    from sandbox.doors.rpc.echo import add_echo
    from sandbox.serving import opened

    with opened(root, listen="127.0.0.1:0", add_more=add_echo) as doors:
        sys.stdout.write(f"ready {doors.addresses.told}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
