"""What do the service and a confined process say to each other? MessagePack in frames, typed on both sides.

# INVARIANT: the service takes nothing from a confined process but numbers, texts, bytes and these shapes.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

MAX_FRAME: Final = 64 * 1024 * 1024
_SIZE: Final = struct.Struct("!I")


class Column(msgspec.Struct, frozen=True, array_like=True):
    """A column of a table or of a result."""

    name: str
    declared_type: str


class Table(msgspec.Struct, frozen=True, array_like=True):
    """A table or view of the file."""

    name: str
    is_view: bool
    columns: tuple[Column, ...]


class View(msgspec.Struct, frozen=True, array_like=True):
    """What a statement sees as one table."""

    table: Table
    """What the file is believed to have."""
    columns: str
    """What is selected of the table, as SQL."""
    row_filter: str
    """A condition as SQL, or nothing."""


class Statement(msgspec.Struct, frozen=True):
    """One statement, and all that it may see."""

    text: str
    parameters: Mapping[str, object]
    claims: Mapping[str, object]
    views: tuple[View, ...]
    relations: frozenset[str]
    """Tables that the statement may name, folded."""
    functions: frozenset[str]
    """Functions that the engine may find in it."""
    fingerprint: str
    """Of the catalogue that it was proven for; counts where it reads a view of the file, which may read anything."""
    max_bytes: int


class Task(msgspec.Struct, frozen=True):
    """What a process is made for: to tell the tables of a file, or to run one statement there."""

    path: str
    statement: Statement | None = None


class Tables(msgspec.Struct, frozen=True, tag=True):
    """The file's tables, and a digest of everything in its catalogue."""

    tables: tuple[Table, ...]
    fingerprint: str


class Heading(msgspec.Struct, frozen=True, tag=True):
    """A result's columns; rows follow."""

    columns: tuple[Column, ...]
    types: tuple[str, ...]
    """Each column's type as a result has it: `integer`, `real`, `boolean`, `text` or `blob`."""


class Rows(msgspec.Struct, frozen=True, tag=True):
    """Some rows; none ends the result."""

    rows: tuple[tuple[object, ...], ...]


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """Nothing more comes."""

    word: str
    """`unavailable`, `stale`, or what kind of error it was."""
    why: str = ""
    """For operators, of what is no statement's doing; never the engine's own words about rows."""


Reply: TypeAlias = Tables | Heading | Rows | Stopped
_REPLIES: Final[msgspec.msgpack.Decoder[Reply]] = msgspec.msgpack.Decoder(Reply)
_TASKS: Final = msgspec.msgpack.Decoder(Task)


def send(connection: socket.socket, message: Task | Reply) -> None:
    """Send one frame; raises `OSError`."""
    body = msgspec.msgpack.encode(message)
    connection.sendall(_SIZE.pack(len(body)) + body)


def receive_task(connection: socket.socket) -> Task:
    """Receive what to do; raises `OSError` or `EOFError`."""
    return _TASKS.decode(_frame(connection, None))


def receive_reply(connection: socket.socket, until: float) -> Reply:
    """Receive what a confined process says, whole before `until` (`time.monotonic()` seconds).

    Raises `TimeoutError`, `OSError`, or `EOFError` for what is no reply.
    """
    try:
        return _REPLIES.decode(_frame(connection, until))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise EOFError from error


def _frame(connection: socket.socket, until: float | None) -> bytes:
    (size,) = _SIZE.unpack(_exactly(connection, _SIZE.size, until))
    if size > MAX_FRAME:
        raise EOFError
    return _exactly(connection, size, until)


def _exactly(connection: socket.socket, size: int, until: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        if until is not None:
            _wait_no_longer_than(connection, until)
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def _wait_no_longer_than(connection: socket.socket, until: float) -> None:
    """Bound the next wait alone: bytes that drip one by one win no time."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
