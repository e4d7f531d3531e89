"""The shop in a DuckDB file, and how its owner changes it."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path

import duckdb
from executor_cast import SHOP as SQLITE_SHOP

from sandbox.toolspec import Connection, Digest, FileTarget, SqlCeiling

SHOP = SQLITE_SHOP.replace("cents INTEGER", "cents BIGINT").replace(
    "CREATE INDEX orders_by_region ON orders (region);", ""
)


@functools.cache
def image(script: str) -> bytes:
    """Return the file that a script makes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.duckdb")
        with duckdb.connect(str(path)) as owner:
            owner.execute(script)
        return path.read_bytes()


def make_database(path: Path, script: str = SHOP) -> Path:
    path.write_bytes(image(script))
    return path


def change(connection: Connection, script: str) -> None:
    """Change the database from outside, as its owner may."""
    assert isinstance(connection.target, FileTarget)
    with duckdb.connect(connection.target.path) as owner:
        owner.execute(script)


def connection_to(path: Path) -> Connection:
    digest = Digest(hashlib.sha256(str(path).encode()).hexdigest())
    target = FileTarget(str(path))
    return Connection(name="shop", engine="duckdb", target=target, ceiling=SqlCeiling(None), digest=digest)
