"""How does a receipt look? A C2SP tlog-proof whose `extra` is the record: https://c2sp.org/tlog-proof"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from typing import Final

MAGIC: Final = b"c2sp.org/tlog-proof@v1\n"


line = b2a_base64
"""Writes one node of a path: base64 and a line feed."""


def path_text(path: Sequence[bytes]) -> bytes:
    """Return the lines of an inclusion path."""
    return b"".join([line(node) for node in path])


def proof_text(record: bytes, index: int, path: bytes, checkpoint: bytes) -> bytes:
    """Return the receipt's text."""
    return b"%bextra %bindex %d\n%b\n%b" % (MAGIC, b2a_base64(record), index, path, checkpoint)
