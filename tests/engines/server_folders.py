"""As whom does a test's own server run, and what is left of servers whose test runs were killed?"""

from __future__ import annotations

import os
import pwd
import shutil
from contextlib import suppress
from pathlib import Path


def run_as() -> tuple[int, int] | None:
    """Return the plain user and group to run as, if this process is root's."""
    if os.getuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def plain_words() -> tuple[str, ...]:
    """Return what setpriv is told of them."""
    return () if (ids := run_as()) is None else (f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups")


def sweep(prefix: str) -> None:
    """Remove what killed test runs left behind; their servers died with them."""
    for folder in Path("/tmp").glob(f"{prefix}*"):
        with suppress(OSError):
            if not Path("/proc", (folder / "tests.pid").read_text("ascii")).exists():
                shutil.rmtree(folder)
