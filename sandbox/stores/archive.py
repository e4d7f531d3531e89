"""How does a log rest in an archive? The files of C2SP tlog-tiles, and the encrypted payloads beside them.

`checkpoint`, `tile/LEVEL/N`, `tile/entries/N` (https://c2sp.org/tlog-tiles), and `payloads/N` with the payloads of the
entries of one bundle. Subjects' keys are not in it: it is read with those of the log, so erasing a subject reaches it.
"""

from __future__ import annotations

import os
import stat
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct, error
from typing import Final, final

from sandbox.stores.log import (
    MAX_PAYLOADS,
    TILE_BITS,
    Head,
    LogReading,
    StoredCheckpoint,
    StoredPayload,
    StoreUnavailable,
)

TILE: Final = 1 << TILE_BITS
HASH_BYTES: Final = 32
CHECKPOINT: Final = "checkpoint"
KEY: Final = "log.vkey"
MAX_CHECKPOINT_BYTES: Final = 64 * 1024
MAX_FILE_BYTES: Final = 1 << 30
"""Of a bundle of payloads; all others are smaller by far."""
_LENGTH: Final = Struct(">H")
_PAYLOAD: Final = Struct(">QQHI")
"""Id, subject, and the lengths of the wrapped key and of the ciphertext, which follow."""


def write_archive(store: LogReading, place: Path, note: bytes, size: int, progress: Callable[[int, int], None]) -> None:
    """Write the first `size` leaves of the log, which the signed checkpoint `note` is of, into the folder `place`.

    Each file is on disk then, but not the folders that name them. Raises `OSError`.
    """
    for level in _levels(size):
        for tile in range(_tiles(size >> TILE_BITS * level)):
            end = min((tile + 1) * TILE, size >> TILE_BITS * level)
            hashes = store.tile_roots(level, tile * TILE, end) if level else store.leaf_hashes(tile * TILE, end)
            write_file(place / _tile(str(level), tile, end), b"".join(hashes))
    for bundle in range(_tiles(size)):
        start, end = bundle * TILE, min((bundle + 1) * TILE, size)
        rows = store.records(start, end - start)
        write_file(place / _tile("entries", bundle, end), b"".join(_LENGTH.pack(len(row[2])) + row[2] for row in rows))
        payloads = b"".join(
            _PAYLOAD.pack(payload_id, stored.subject, len(stored.wrapped_key), len(stored.ciphertext))
            + stored.wrapped_key
            + stored.ciphertext
            for payload_id, stored in store.payloads(start * MAX_PAYLOADS, end * MAX_PAYLOADS)
        )
        if payloads:
            write_file(place / "payloads" / _number(bundle), payloads)
        progress(end, size)
    write_file(place / CHECKPOINT, note)


def write_file(path: Path, content: bytes) -> None:
    """Write one file of an archive, and its folder if need be; raises `OSError` if it is not on disk then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        # WHY: by the descriptor that wrote, which hears of every error; what is read back may come from memory.
        os.fsync(file.fileno())


@final
class ArchivedLog:
    """An archive as an auditor reads it. Nothing in it is believed: whether it was signed is theirs to check."""

    def __init__(self, place: Path, signature_of: Callable[[bytes], bytes]) -> None:
        """Read the archive in `place`; `signature_of` finds the log's signature in its checkpoint.

        Raises `StoreUnavailable` if it is none.
        """
        self._place = place
        note = read_file(place / CHECKPOINT, MAX_CHECKPOINT_BYTES)
        try:
            _, size, root, *_ = note.split(b"\n")
            self._size, self._root = int(size), b64decode(root, validate=True)
        except ValueError as broken:
            raise StoreUnavailable("its checkpoint cannot be read") from broken
        self._signature = signature_of(note)

    def head(self) -> Head:
        """The tree of the checkpoint; an archive does not grow, so nothing is told of what it would grow from."""
        return Head(self._size, self._root, b"")

    def records(self, start: int, limit: int) -> list[tuple[int, bytes, bytes]]:
        """(index, leaf hash, record), in order; the hashes are those of the tiles."""
        end = min(start + limit, self._size)
        found: list[tuple[int, bytes, bytes]] = []
        for bundle in range(start // TILE, _tiles(end)):
            first = bundle * TILE
            hashes = self._hashes(0, bundle)
            entries = _entries(read_file(self._place / _tile("entries", bundle, min(first + TILE, self._size))))
            if len(entries) != len(hashes):
                raise StoreUnavailable(f"entry bundle {bundle} has {len(entries)} entries for {len(hashes)} leaves")
            found += [(first + at, hashes[at], entry) for at, entry in enumerate(entries) if start <= first + at < end]
        return found

    def record(self, index: int) -> bytes | None:
        """One record's bytes."""
        return next((content for _, _, content in self.records(index, 1)), None)

    def payload(self, payload_id: int) -> StoredPayload | None:
        """One encrypted payload."""
        return next((stored for _, stored in self.payloads(payload_id, payload_id + 1)), None)

    def payloads(self, start: int, end: int) -> Iterator[tuple[int, StoredPayload]]:
        """Payloads with `start <= id < end`, in order."""
        of_bundle = TILE * MAX_PAYLOADS
        for bundle in range(start // of_bundle, _tiles(min(-(-end // MAX_PAYLOADS), self._size))):
            file = self._place / "payloads" / _number(bundle)
            before = bundle * of_bundle - 1
            for payload_id, stored in _payloads(read_file(file)) if os.path.lexists(file) else ():
                if not before < payload_id < (bundle + 1) * of_bundle:
                    raise StoreUnavailable(f"payload bundle {bundle} holds a payload twice, or one of another")
                before = payload_id
                if start <= payload_id < end:
                    yield payload_id, stored

    def checkpoints(self, after: int, limit: int) -> list[StoredCheckpoint]:
        """The one checkpoint."""
        found = [StoredCheckpoint(self._size, self._root, self._signature)]
        return found[:limit] if after < self._size else []

    def unknown_file(self) -> str:
        """Return a file that no archive of this size has; empty if there is none."""
        known = {CHECKPOINT, KEY, *(f"payloads/{_number(bundle)}" for bundle in range(_tiles(self._size)))}
        for level in _levels(self._size):
            hashes = self._size >> TILE_BITS * level
            known |= {_tile(str(level), tile, min((tile + 1) * TILE, hashes)) for tile in range(_tiles(hashes))}
        known |= {_tile("entries", tile, min((tile + 1) * TILE, self._size)) for tile in range(_tiles(self._size))}
        for folder, folders, names in os.walk(self._place):
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in sorted([*names, *links]):
                path = str((Path(folder) / name).relative_to(self._place))
                if path not in known:
                    return path
        return ""

    def tile_roots(self, level: int, start: int, end: int) -> list[bytes]:
        """Stored roots of one level's complete subtrees, in order."""
        tiles = range(start // TILE, _tiles(end))
        return [
            root
            for tile in tiles
            for root in self._hashes(level, tile)[max(0, start - tile * TILE) : end - tile * TILE]
        ]

    def _hashes(self, level: int, tile: int) -> list[bytes]:
        end = min((tile + 1) * TILE, self._size >> TILE_BITS * level)
        content = read_file(self._place / _tile(str(level), tile, end))
        if len(content) != (end - tile * TILE) * HASH_BYTES:
            raise StoreUnavailable(f"tile/{level}/{_number(tile)} has {len(content)} bytes")
        return [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]


def _levels(size: int) -> range:
    levels = 1
    while size >> TILE_BITS * levels:
        levels += 1
    return range(levels)


def _tiles(hashes: int) -> int:
    return -(-hashes // TILE)


def _tile(level: str, tile: int, end: int) -> str:
    width = end - tile * TILE
    return f"tile/{level}/{_number(tile)}" + (f".p/{width}" if width < TILE else "")


def _number(number: int) -> str:
    """Return a tile's number as path elements of three digits, each but the last with an `x` before it."""
    digits = str(number).zfill(-(-len(str(number)) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])


def _entries(bundle: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(bundle):
        (length,) = _LENGTH.unpack_from(bundle.ljust(at + 2, b"\0"), at)
        found.append(bundle[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(bundle):
        raise StoreUnavailable("an entry bundle is cut")
    return found


def _payloads(bundle: bytes) -> Iterator[tuple[int, StoredPayload]]:
    at = 0
    while at < len(bundle):
        try:
            payload_id, subject, wrapped, ciphertext = _PAYLOAD.unpack_from(bundle, at)
        except error as broken:
            raise StoreUnavailable("a payload bundle is cut") from broken
        at += _PAYLOAD.size
        middle, at = at + wrapped, at + wrapped + ciphertext
        if at > len(bundle):
            raise StoreUnavailable("a payload bundle is cut")
        yield payload_id, StoredPayload(subject, bundle[middle - wrapped : middle], bundle[middle:at])


def read_file(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    """Read a file of an archive; raises `StoreUnavailable` for one that is none, not plain, or longer than `most`.

    # INVARIANT: whoever hands over an archive makes no reader wait, follow a link or hold what has no end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            fact = os.fstat(file.fileno())
            if not stat.S_ISREG(fact.st_mode) or fact.st_size > most:
                raise StoreUnavailable(f"{path.name}: no plain file of at most {most} bytes")
            return file.read(most)
    except OSError as broken:
        raise StoreUnavailable(f"{path.name}: {broken.strerror}") from broken
