"""Which MariaDB do the tests ask? A real server of our own, started once a test process and gone with it.

Its programs are Debian's (`mariadb_packages.py`). No root is needed; under root the server runs as `nobody`. It listens
on a unix socket in a folder that only its user may enter and on a loopback port, with a random password and without
fsync. Where `SANDBOX_TEST_MARIADB` names a server by a URL of its administrator, that one is asked instead.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final
from urllib.parse import quote, unquote, urlsplit

import pymysql
import pytest
from mariadb_packages import NAMED, Missing, Programs, find_programs
from pymysql.connections import Connection
from pymysql.constants import CLIENT
from server_folders import plain_words, run_as, sweep

OWNER: Final = "owner"
PREFIX: Final = "sandbox-mariadb-"
_TRIES: Final = 5
_TABLES: Final = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
_SETTINGS: Final = (
    *(
        "--skip-log-bin",
        "--skip-name-resolve",
        "--bind-address=127.0.0.1",
        "--max-connections=60",
        "--lc-messages=en_US",
    ),
    *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--skip-innodb-doublewrite"),
    *("--innodb-log-file-size=4M", "--innodb-buffer-pool-size=32M", "--innodb-undo-tablespaces=0"),
    *("--innodb-data-file-path=ibdata1:5M:autoextend", "--innodb-temp-data-file-path=ibtmp1:5M:autoextend"),
    *("--innodb-autoextend-increment=1", "--aria-log-file-size=8M", "--key-buffer-size=1M", "--secure-file-priv="),
)
"""A server as small and quick as can be; with `secure_file_priv` open, as MariaDB has it where nobody closes it."""


_ACCOUNTS: Final = """
DELETE FROM global_priv WHERE User <> 'mariadb.sys';
INSERT INTO global_priv VALUES ('%', 'owner', '{"access": 18446744073709551615, "plugin": "mysql_native_password",
  "authentication_string": "*DIGEST"}');
"""
"""One account beside the server's own."""


@final
@dataclass(frozen=True, slots=True)
class Server:
    """One running server."""

    host: str
    port: int
    user: str
    password: str
    client: Path | None
    """The administrator's client, where there is one."""
    folder: Path | None = None
    """Of a server of our own."""

    def connect(
        self, database: str | None = None, *, user: str | None = None, password: str | None = None
    ) -> Connection:
        """Open a connection with autocommit; the administrator's own unless another login is named."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            database=database,
            user=user or self.user,
            password=self.password if password is None else password,
            autocommit=True,
            charset="utf8mb4",
            connect_timeout=10,
            client_flag=CLIENT.MULTI_STATEMENTS if user is None else 0,
        )

    def ask(self, sql: str, database: str | None = None) -> list[tuple[object, ...]]:
        """Run a script as the administrator; returns the rows of its last statement."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            rows = list(cursor.fetchall())
            while cursor.nextset():
                rows = list(cursor.fetchall())
            return rows

    def make_database(self, name: str, script: str) -> None:
        """Make a database anew and run a script in it."""
        self.ask(f"DROP DATABASE IF EXISTS `{name}`; CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        self.ask(script, name)

    def url(self, database: str, *, user: str | None = None, password: str | None = None) -> str:
        """Return a dsn of a database, the administrator's own unless another login is named."""
        secret = self.password if password is None else password
        return f"mysql://{user or self.user}:{quote(secret, safe='')}@{self.host}:{self.port}/{database}"

    def run_script(self, script: str, database: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a script as an administrator does, with MariaDB's own client."""
        assert self.client is not None, "needs MariaDB's client, of Debian's package mariadb-client-core"
        named = [f"--host={self.host}", f"--port={self.port}", f"--user={self.user}", "--protocol=tcp"]
        return subprocess.run(  # noqa: S603 - MariaDB's own program
            [
                self.client,
                "--no-defaults",
                "--default-character-set=utf8mb4",
                *named,
                *([database] if database else []),
            ],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            env={"MYSQL_PWD": self.password, "LC_ALL": "C.UTF-8"},
        )


def _start(command: Sequence[str | Path], programs: Programs, folder: Path) -> subprocess.Popen[bytes]:
    """Start a program as a plain user; the kernel ends it at once when this process dies, however it dies."""
    # WHY: setpriv, for with `preexec_fn` or `user` Python forks, and gRPC's threads end some forks by SIGABRT.
    return subprocess.Popen(  # noqa: S603 - the server's own programs
        ["/usr/bin/setpriv", "--pdeathsig=KILL", *plain_words(), "--", *command],
        cwd=folder,
        env={"LC_ALL": "C", "TZ": "UTC", "LD_LIBRARY_PATH": programs.libraries},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _make_folder() -> Path:
    """Make the server's folder; short, for a socket's path may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    (folder / "tests.pid").write_text(str(os.getpid()), "ascii")
    (folder / "data").mkdir()
    if user_and_group := run_as():
        os.chown(folder, *user_and_group)
        os.chown(folder / "data", *user_and_group)
    return folder


def _options(programs: Programs, folder: Path) -> list[str | Path]:
    places = [f"--datadir={folder / 'data'}", f"--lc-messages-dir={programs.share}", f"--tmpdir={folder}"]
    places.append(f"--character-sets-dir={programs.share / 'charsets'}")
    return [programs.server, "--no-defaults", *places, *_SETTINGS]


def _initialise(programs: Programs, folder: Path, password: str) -> None:
    """Make the system tables, with one account: the owner's."""
    digest = hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()  # noqa: S324 - MariaDB's way
    script = "CREATE DATABASE mysql;\nUSE mysql;\n"
    script += "".join((programs.share / name).read_text("utf-8") for name in _TABLES)
    script += _ACCOUNTS.replace("DIGEST", digest)
    with _start([*_options(programs, folder), "--bootstrap"], programs, folder) as process:
        said, _ = process.communicate(script.encode(), timeout=60)
    assert process.returncode == 0, said.decode("utf-8", "replace")


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


class _PortTaken(Exception):
    """Somebody took the port after it was found free."""


def _await_ready(process: subprocess.Popen[bytes]) -> threading.Thread:
    """Read what the server says until it says that it is ready; a thread goes on reading, or its pipe would fill."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.decode("utf-8", "replace"))
        if b"ready for connections" in line:
            drain = threading.Thread(target=process.stdout.read, daemon=True)
            drain.start()
            return drain
    if any("already in use" in line for line in said):
        raise _PortTaken
    pytest.fail("MariaDB did not start:\n" + "".join(said))


def _started(
    programs: Programs, folder: Path, more: Sequence[str]
) -> tuple[int, subprocess.Popen[bytes], threading.Thread]:
    """Start the server on a port that is free; another one where it was taken meanwhile."""
    for _ in range(_TRIES):
        port = _free_port()
        places = (f"--socket={folder / 'socket'}", f"--port={port}", f"--pid-file={folder / 'server.pid'}")
        process = _start([*_options(programs, folder), *places, *more], programs, folder)
        try:
            return port, process, _await_ready(process)
        except _PortTaken:
            process.communicate(timeout=20)
        except BaseException:
            process.kill()
            process.communicate(timeout=20)
            raise
    pytest.fail(f"MariaDB found {_TRIES} ports taken")


@contextmanager
def running(*more: str) -> Iterator[Server]:
    """Start a server, hand it out, end it and remove what it wrote; raises `Missing` where there is no MariaDB."""
    programs = find_programs()
    sweep(PREFIX)
    folder, password = _make_folder(), secrets.token_urlsafe(24)
    try:
        _initialise(programs, folder, password)
        port, process, drain = _started(programs, folder, more)
        with process:
            try:
                yield Server("127.0.0.1", port, OWNER, password, programs.client, folder)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=20)
                drain.join(timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _named(url: str) -> Server:
    """Return the server that the environment names."""
    parts = urlsplit(url)
    if parts.scheme not in {"mysql", "mariadb"} or not parts.hostname or not parts.username:
        pytest.fail(f"{NAMED} is not a URL such as mysql://administrator:password@127.0.0.1:3306")
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
        pytest.fail(f"{NAMED} names one server, which one test process at a time may use: add --numprocesses=0")
    found = shutil.which("mariadb")
    password = unquote(parts.password or "")
    return Server(parts.hostname, parts.port or 3306, unquote(parts.username), password, found and Path(found))


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """MariaDB 10.11, or the server that the environment names."""
    if url := os.environ.get(NAMED):
        yield _named(url)
        return
    try:
        with running() as server:
            yield server
    except Missing as missing:
        pytest.fail(str(missing))
