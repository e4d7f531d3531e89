"""Is the tests' MariaDB what it claims to be, gone when its parent is, and missed in one sentence?"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import mariadb_packages
import pytest
from mariadb_packages import Missing, find_programs
from mariadb_server import PREFIX, Server
from server_folders import sweep


@pytest.mark.requirement("sql:engines:mariadb")
def test_the_server_is_a_mariadb(mariadb: Server) -> None:
    ((version,),) = mariadb.ask("SELECT version()")

    assert "MariaDB" in str(version)


@pytest.mark.requirement("sql:engines:mariadb")
def test_a_database_is_made_anew(mariadb: Server) -> None:
    for _ in range(2):
        mariadb.make_database("engines_anew", "CREATE TABLE t (x int); INSERT INTO t VALUES (7);")

    assert mariadb.ask("SELECT x FROM t", "engines_anew") == [(7,)]


@pytest.mark.requirement("sql:engines:mariadb")
def test_the_administrators_client_runs_scripts(mariadb: Server) -> None:
    done = mariadb.run_script("SELECT 'Zoë ☃' AS said;")

    assert done.stdout.splitlines() == ["said", "Zoë ☃"]
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.requirement("sql:engines:mariadb")
def test_the_server_dies_with_a_parent_that_is_killed() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from mariadb_server import running\n"
        "with running() as server:\n"
        "    print((server.folder / 'server.pid').read_text().split()[0], server.folder, flush=True)\n"
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


@pytest.mark.requirement("sql:engines:mariadb-missing")
def test_without_any_mariadb_one_sentence_says_what_would_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mariadb_packages, "_CACHE", tmp_path / "nothing")
    monkeypatch.setattr(mariadb_packages.Programs, "are_whole", property(lambda _: False))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Missing) as caught:
        find_programs()

    assert str(caught.value) == (
        "tests need a MariaDB and there is none: there is no apt-get here; install Debian's packages "
        "mariadb-server-core and mariadb-client-core, or name a server in SANDBOX_TEST_MARIADB: "
        "mysql://administrator:password@127.0.0.1:3306"
    )
