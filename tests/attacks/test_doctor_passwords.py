"""What does a doctor tell whoever answers in the place of a PostgreSQL server? No password, however it is asked for."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ledger_cast import CLAIMS_LOGIN, CONNECTION, LEASE_KEY, OTHER_SHAPE, SHAPE, Ledger, ledger_on

from sandbox.doctor.check_canary import check_canary
from sandbox.doctor.inspection import Inspection
from sandbox.leases import Server

_LOGINS = (CLAIMS_LOGIN, SHAPE.login, OTHER_SHAPE.login)


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    with ledger_on(18) as made:
        made.run(made.script())
        yield made


@contextmanager
def thief(folder: Path, asking: bytes) -> Iterator[tuple[bytearray, bytearray]]:
    """Ask whoever connects at a socket in `folder` for a password; yield who came, and what they said then."""
    came, said = bytearray(), bytearray()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / ".s.PGSQL.5432"))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client:
                    came.extend(client.recv(4096))
                    client.sendall(asking)
                    said.extend(client.recv(4096))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield came, said
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "asking",
    [
        pytest.param(b"R" + struct.pack(">ii", 8, 3), id="in the clear"),
        pytest.param(b"R" + struct.pack(">ii4s", 12, 5, b"salt"), id="as md5"),
    ],
)
@pytest.mark.requirement("doctor:login:never-sent")
def test_the_password_of_a_login_is_told_to_nobody(ledger: Ledger, tmp_path: Path, asking: bytes) -> None:
    with thief(tmp_path, asking) as (came, said), ledger.owner() as database:
        look = Inspection(
            connection=CONNECTION,
            database=database,
            server=Server({"host": str(tmp_path), "dbname": ledger.database}),
            lease_key=LEASE_KEY,
            shapes=ledger.shapes,
            views={},
        )
        found = list(check_canary(look))

    assert all(login.encode() in came for login in _LOGINS)
    assert said == b""
    assert [finding.check for finding in found].count("canary-login") == len(_LOGINS)
