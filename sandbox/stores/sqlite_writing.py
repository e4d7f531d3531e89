"""What does one transaction of the log write into its SQLite file?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import apsw

from sandbox.stores.log import Chain, Head, Rows, StoredRequest
from sandbox.stores.sqlite_rows import CHAIN, REQUEST, head_of, request_of


@final
class SqliteWriting:
    """One transaction on the writing connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: apsw.Connection) -> None:
        """Write through `connection`, which is in a transaction."""
        self._connection = connection

    def head(self) -> Head:
        """The tree as it stands."""
        return head_of(self._connection)

    def chain(self, token_digest: bytes) -> Chain | None:
        """Where one token's chain stands."""
        for sequence, digest in self._connection.execute(CHAIN, (token_digest,)):
            return Chain(sequence, digest)
        return None

    def is_open(self, index: int) -> bool:
        """Whether the leaf is an intent whose end no leaf tells."""
        return any(True for _ in self._connection.execute("SELECT 1 FROM intents WHERE idx = ?", (index,)))

    def request(self, key: bytes) -> StoredRequest | None:
        """What a `request_id` led to."""
        return next(map(request_of, self._connection.execute(REQUEST, (key,))), None)

    def append(self, rows: Rows, head: Head, now_us: int) -> None:
        """Write a batch and move the head."""
        write = self._connection.executemany
        write("INSERT INTO leaves VALUES (?, ?, ?, ?)", rows.leaves)
        if rows.payloads:
            write("INSERT INTO payloads VALUES (?, ?, ?, ?)", rows.payloads)
        if rows.chains:
            write("INSERT OR REPLACE INTO chains VALUES (?, ?, ?)", rows.chains)
        if rows.tiles:
            write("INSERT INTO tiles VALUES (?, ?, ?)", rows.tiles)
        if rows.files:
            write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows.files)
        if rows.requests:
            self._add_requests(rows.requests, now_us)
        if rows.opened:
            write("INSERT INTO intents VALUES (?)", [(index,) for index in rows.opened])
        if rows.closed:
            write("DELETE FROM intents WHERE idx = ?", [(index,) for index in rows.closed])
        if rows.forgotten:
            write("DELETE FROM requests WHERE key = ? AND idx = ?", rows.forgotten)
        self.sign(rows.signatures)
        execute = self._connection.execute
        execute("INSERT INTO checkpoints (size, root, seal) VALUES (?, ?, ?)", (head.size, head.root, rows.seal))
        execute("UPDATE head SET size = ?, root = ?, frontier = ?", (head.size, head.root, head.frontier))

    def _add_requests(self, requests: Sequence[tuple[bytes, int, bytes, int]], now_us: int) -> None:
        # WHY: twice as many old rows are looked at as new ones come, so the table shrinks to the living ones by itself.
        self._connection.execute(
            "DELETE FROM requests WHERE id IN (SELECT id FROM requests ORDER BY id LIMIT ?) AND expires_us < ?",
            (2 * len(requests), now_us),
        )
        self._connection.executemany(
            "INSERT INTO requests (key, idx, content, expires_us) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE"
            " SET idx = excluded.idx, content = excluded.content, expires_us = excluded.expires_us"
            " WHERE requests.expires_us < ?5",
            [(*request, now_us) for request in requests],
        )

    def sign(self, signatures: Sequence[tuple[bytes, int]]) -> None:
        """Write back signatures of checkpoints."""
        if signatures:
            self._connection.executemany("UPDATE checkpoints SET signature = ? WHERE size = ?", signatures)

    def add_subject(self, lookup: bytes, wrapped_key: bytes) -> None:
        """Add a subject unless another thread or process has."""
        self._connection.execute(
            "INSERT INTO subjects (lookup, wrapped_key) VALUES (?, ?) ON CONFLICT DO NOTHING", (lookup, wrapped_key)
        )

    def remove_payloads(self, end: int, kept_subject: int, limit: int) -> int:
        """Overwrite and delete some payloads with ids below `end`, but for those of `kept_subject`."""
        # WHY: without it SQLite leaves what is deleted in the file until the room is used again.
        self._connection.execute("PRAGMA secure_delete = ON")
        query = "DELETE FROM payloads WHERE id IN (SELECT id FROM payloads WHERE id < ? AND subject != ? LIMIT ?)"
        self._connection.execute(query, (end, kept_subject, limit))
        return self._connection.changes()
