"""Which checkers of other projects does `scripts/bench-peers` score? Each in a folder of its own, pinned, printed.

Of a package comes what its checker needs and no more (`pip --no-deps`, `npm pack`): a checker is a few pure functions,
its package a server. The folders are in `.venv/peers`, and so no part of the project's locks or of what is released.
The options are those of `sandbox bench sql`; PostgreSQL and MariaDB are scored on servers of their own, for
the run alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
FOLDER: Final = ROOT / ".venv" / "peers"
VARIABLE: Final = "SANDBOX_BENCH_DSN"
MYSQL: Final = "SANDBOX_BENCH_MYSQL_DSN"
BENCH: Final = (sys.executable, "-m", "sandbox.cli.main", "bench", "sql")


class Peer(NamedTuple):
    """One checker: how it is called, what it reads, and what has to be installed for it."""

    name: str
    engines: tuple[str, ...]
    packages: tuple[str, ...]
    """The first is the checker's own."""


PYTHON: Final = (
    Peer(
        "postgres-mcp",
        ("postgres",),
        (
            "postgres-mcp==0.3.0",
            "pglast==7.22",
            "psycopg==3.3.9",
            "psycopg-binary==3.3.9",
            "psycopg-pool==3.3.3",
            "typing_extensions==4.16.0",
        ),
    ),
    Peer("awslabs-postgres", ("postgres",), ("awslabs.postgres-mcp-server==1.2.2", "pglast==8.8", "loguru==0.7.3")),
    Peer("awslabs-mysql", ("mysql",), ("awslabs.mysql-mcp-server==1.1.3", "sqlparse==0.6.1")),
    Peer("sqlsaber", (), ("sqlsaber==0.79.1", "sqlglot==30.30.0")),
    Peer("pglast-walk", ("postgres",), ("pglast==8.8",)),
)
DBHUB: Final = Peer("dbhub", ("sqlite", "postgres", "mysql"), ("@bytebase/dbhub@1.4.0",))


def main(options: Sequence[str]) -> int:
    """Install what is missing, run the bench with all of it, and return what it ends with."""
    if "--help" in options:
        return subprocess.call([*BENCH, "--help"])  # noqa: S603 - our own command
    named = [_python(peer) for peer in PYTHON]
    if shutil.which("node") and shutil.which("npm"):
        named.append(_dbhub())
    else:
        print("left out, for node and npm are not here: dbhub", file=sys.stderr)
    file = FOLDER / "peers.json"
    file.write_text(json.dumps(named, indent=1), "utf-8")
    sys.path.append(str(ROOT / "tests" / "engines"))
    engine, mariadb = import_module("postgres_server"), import_module("mariadb_server")
    with engine.running(engine.PYPI, 18) as server, mariadb.running() as other:
        dsn = f"postgresql://{engine.OWNER}:{server.password}@/postgres?host={server.folder}"
        environment = {
            **os.environ,
            VARIABLE: dsn,
            MYSQL: other.url(""),
        }  # WHY: every user of a machine can read a command line
        command = [*BENCH, "--postgres", VARIABLE, "--mysql", MYSQL, "--peers", str(file), *options]
        return subprocess.call(command, env=environment)  # noqa: S603 - our own command


def _python(peer: Peer) -> dict[str, object]:
    """Install a checker that is Python; it never sees the project's own packages, nor they it."""
    folder = _folder(peer)
    if not folder.is_dir():
        making = _making(folder)
        # WHY --ignore-requires-python: two of them ask for 3.12 for their servers; their checkers run on 3.11.
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--ignore-requires-python"]
        command += ["--disable-pip-version-check", "--only-binary", ":all:", "--target", str(making), *peer.packages]
        subprocess.run(command, check=True)  # noqa: S603 - our own command
        making.rename(folder)
    run = [sys.executable, "-I", "-S", str(HERE / "peer.py"), peer.name, str(folder)]
    return _told(peer, run)


def _dbhub() -> dict[str, object]:
    """Unpack dbhub; its classifier is in files of its own, which need no other package."""
    folder = _folder(DBHUB)
    if not folder.is_dir():
        making = _making(folder)
        npm = shutil.which("npm") or "npm"
        command = [npm, "pack", "--silent", "--pack-destination", str(making), *DBHUB.packages]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
        for archive in making.glob("*.tgz"):
            with tarfile.open(archive) as packed:
                packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 has none
                packed.extractall(making)  # noqa: S202 - pinned by name and version
        making.rename(folder)
    return _told(
        DBHUB, [shutil.which("node") or "node", str(HERE / "peer_dbhub.mjs"), str(folder / "package" / "dist")]
    )


def _folder(peer: Peer) -> Path:
    """Return where exactly these packages lie, or would."""
    return FOLDER / "+".join(package.replace("/", "_") for package in peer.packages)


def _making(folder: Path) -> Path:
    making = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    return making


def _told(peer: Peer, command: Sequence[str]) -> dict[str, object]:
    print(f"… {peer.name}: {' '.join(peer.packages)}", file=sys.stderr)
    version = peer.packages[0].rpartition("@" if peer is DBHUB else "=")[2]
    return {"name": f"{peer.name} {version}", "engines": list(peer.engines), "command": list(command)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
