"""`sandbox worker`: one process of `sandbox serve --workers N`, which starts it; nobody else does."""

from __future__ import annotations


def worker() -> None:
    """Serve as the orders on stdin say."""
    from sandbox.workers.worker import work

    work()
