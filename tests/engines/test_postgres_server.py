"""Is the tests' PostgreSQL what it claims to be, and gone when its parent is?"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from postgres_server import PREFIX, Server
from server_folders import sweep


@pytest.mark.requirement("sql:engines:real")
def test_the_server_of_pypi_is_postgresql_18(postgres: Server) -> None:
    with postgres.connect() as connection:
        assert connection.info.server_version // 10_000 == postgres.version == 18


@pytest.mark.requirement("sql:engines:real")
def test_debian_s_server_is_postgresql_15(postgres_15: Server) -> None:
    with postgres_15.connect() as connection:
        assert connection.info.server_version // 10_000 == postgres_15.version == 15


@pytest.mark.requirement("sql:engines:real")
def test_a_database_is_made_anew(postgres: Server) -> None:
    for _ in range(2):
        postgres.make_database("engines_anew", "CREATE TABLE t (x int); INSERT INTO t VALUES (7);")

    with postgres.connect("engines_anew") as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [(7,)]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.requirement("sql:engines:real")
def test_the_server_dies_with_a_parent_that_is_killed() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from postgres_server import PYPI, running\n"
        "with running(PYPI, 18) as server:\n"
        "    print((server.folder / 'data' / 'postmaster.pid').read_text().split()[0], server.folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    here = str(Path(__file__).parent)
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program, here], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        said = parent.stdout.readline().split()
        watched = os.pidfd_open(int(said[0]))
        parent.send_signal(signal.SIGKILL)
        parent.wait(timeout=10)
    ended, _, _ = select.select([watched], [], [], 10)
    os.close(watched)
    assert ended

    sweep(PREFIX)
    assert not Path(said[1]).exists()
