"""Where do the tests' MariaDB's programs come from? Installed ones, or Debian's packages, unpacked into `.venv`.

Nothing is installed and no root is needed: `apt-get download` asks Debian's archive, whose signatures apt checks, and
`dpkg -x` unpacks. Run as a program it does so beforehand, as `scripts/test` does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

NAMED: Final = "SANDBOX_TEST_MARIADB"
"""The environment variable that names a server to use instead: a URL of its administrator."""
_PACKAGES: Final = ("mariadb-server-core", "mariadb-client-core", "mariadb-common", "libaio1", "liburing2")
_CACHE: Final = Path(__file__).resolve().parents[2] / ".venv" / "mariadb"
_TOOLS: Final = ("apt-get", "dpkg")


class Missing(Exception):
    """There is no MariaDB; one sentence says what would help."""


@final
@dataclass(frozen=True, slots=True)
class Programs:
    """A MariaDB's programs, below `/` or wherever they were unpacked."""

    root: Path

    @property
    def server(self) -> Path:
        """The server."""
        return self.root / "usr/sbin/mariadbd"

    @property
    def client(self) -> Path:
        """The administrator's client."""
        return self.root / "usr/bin/mariadb"

    @property
    def share(self) -> Path:
        """Messages, character sets and the script of the system tables."""
        return self.root / "usr/share/mysql"

    @property
    def libraries(self) -> str:
        """Where the loader finds what came with them."""
        return ":".join(str(folder) for folder in sorted((self.root / "usr/lib").glob("*-linux-gnu")))

    @property
    def are_whole(self) -> bool:
        """Whether all that tests need is there."""
        return all(path.exists() for path in (self.server, self.client, self.share / "mysql_system_tables.sql"))


def find_programs() -> Programs:
    """Return a MariaDB's programs, unpacking them once a checkout; raises `Missing`."""
    installed, unpacked = Programs(Path("/")), Programs(_CACHE / "root")
    if installed.are_whole:
        return installed
    if unpacked.are_whole:
        return unpacked
    try:
        _CACHE.mkdir(parents=True, exist_ok=True)
        with (_CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one of several test processes unpacks
            if not unpacked.are_whole:
                _unpack(unpacked.root)
    except OSError as error:
        raise _missing(f"{_CACHE} cannot be written ({error.strerror})") from error
    return unpacked


def _unpack(root: Path) -> None:
    tools = {tool: shutil.which(tool) for tool in _TOOLS}
    if absent := [tool for tool, path in tools.items() if path is None]:
        raise _missing(f"there is no {absent[0]} here")
    said = _run([str(tools["apt-get"]), "-qq", "download", *_PACKAGES], _CACHE)
    if said is not None and os.getuid() == 0:  # lists of packages may be missing or old
        _run([str(tools["apt-get"]), "-qq", "update"], _CACHE)
        said = _run([str(tools["apt-get"]), "-qq", "download", *_PACKAGES], _CACHE)
    if said is not None:
        raise _missing(f"apt-get cannot download them ({said})")
    half = root.with_name("half")
    shutil.rmtree(half, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    for package in sorted(_CACHE.glob("*.deb")):
        if (said := _run([str(tools["dpkg"]), "-x", str(package), str(half)], _CACHE)) is not None:
            raise _missing(f"{package.name} cannot be unpacked ({said})")
        package.unlink()
    half.rename(root)
    if not Programs(root).are_whole:
        raise _missing("Debian's packages lack the programs")


def _run(command: Sequence[str], folder: Path) -> str | None:
    """Run a tool; returns the last line that it said if it failed."""
    done = subprocess.run(  # noqa: S603 - Debian's own tools
        command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]


def _missing(why: str) -> Missing:
    return Missing(
        f"tests need a MariaDB and there is none: {why}; install Debian's packages {' and '.join(_PACKAGES[:2])}, or "
        f"name a server in {NAMED}: mysql://administrator:password@127.0.0.1:3306"
    )


def main() -> int:
    """Have the programs ready; tells what is missing, which only the tests that need them are stopped by."""
    try:
        if NAMED not in os.environ:
            find_programs()
    except Missing as missing:
        sys.stderr.write(f"{missing}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
