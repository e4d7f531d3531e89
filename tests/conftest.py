"""What do all tests share? Reproducible properties, helpers by name, and no way to another machine."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent
# Helper modules lie beside the tests that use them; `importlib` mode leaves it to us to make them importable.
sys.path[:0] = [str(folder) for folder in sorted(TESTS.rglob("*/")) if folder.name != "__pycache__"]

# The engines that tests of several rooms ask.
pytest_plugins = ["mariadb_server", "openbao_server", "postgres_server"]

settings.register_profile(
    "house", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")), database=None
)
settings.load_profile("house")


@pytest.fixture(autouse=True, scope="session")
def this_machine_only() -> Iterator[None]:
    """Refuse every Python connection that would leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: str | tuple[str, int]) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            pytest.fail(f"a test tried to reach {host}")
        connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The shared collections of public vectors and statements beside the checkout; tests skip where there are none."""
    folder = TESTS.parent.parent / "shared" / "corpora"
    if not folder.is_dir():
        pytest.skip(f"public vectors, which are not redistributed: no folder {folder}")
    return folder
