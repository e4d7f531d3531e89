"""What is a row of the log, as SQLite hands it out? The values of the store's own types, or a damaged log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import apsw

from sandbox.stores.log import Head, StoredCheckpoint, StoredRequest, StoreUnavailable

CHAIN: Final = "SELECT sequence, digest FROM chains WHERE token = ?"
REQUEST: Final = "SELECT idx, content, expires_us FROM requests WHERE key = ?"


@contextmanager
def engine_errors() -> Iterator[None]:
    """Raise `StoreUnavailable` for what SQLite or the system says; it names the kind of error and no content."""
    try:
        yield
    except (apsw.Error, OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable(type(error).__name__) from error


def head_of(connection: apsw.Connection) -> Head:
    """Return the tree as it stands; raises `StoreUnavailable` without one."""
    for size, root, frontier in connection.execute("SELECT size, root, frontier FROM head"):
        return Head(size, root, frontier)
    raise StoreUnavailable("the head row is missing")


def request_of(row: tuple[apsw.SQLiteValue, ...]) -> StoredRequest:
    """Return a row that `REQUEST` gave."""
    index, content, expires_us = row
    return StoredRequest(whole(index), blob(content), whole(expires_us))


def checkpoint_of(row: tuple[apsw.SQLiteValue, ...]) -> StoredCheckpoint:
    """Return a row of size, root, signature and seal."""
    size, root, signature, seal = row
    return StoredCheckpoint(whole(size), blob(root), None if signature is None else blob(signature), blob(seal))


def whole(value: apsw.SQLiteValue) -> int:
    """Return a whole number; raises `StoreUnavailable` for anything else."""
    if not isinstance(value, int):
        raise StoreUnavailable("a damaged row")
    return value


def blob(value: apsw.SQLiteValue) -> bytes:
    """Return bytes; raises `StoreUnavailable` for anything else."""
    if not isinstance(value, bytes):
        raise StoreUnavailable("a damaged row")
    return value
