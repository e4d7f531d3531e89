"""How does a receipt look? A C2SP tlog-proof whose `extra` is the record: https://c2sp.org/tlog-proof"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Final

MAGIC: Final = b"c2sp.org/tlog-proof@v1\n"


def proof_text(record: bytes, index: int, path: Sequence[bytes], checkpoint: bytes) -> bytes:
    """Return the receipt's text."""
    hashes = b"".join([b64encode(node) + b"\n" for node in path])
    return b"%bextra %b\nindex %d\n%b\n%b" % (MAGIC, b64encode(record), index, hashes, checkpoint)
