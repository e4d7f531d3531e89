"""How does a receipt look? A C2SP tlog-proof whose `extra` is the record: https://c2sp.org/tlog-proof"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from typing import Final

from sandbox.receipts.tree import NodeSource, split

MAGIC: Final = b"c2sp.org/tlog-proof@v1\n"


def path_text(path: Sequence[bytes]) -> bytes:
    """Return the lines of an inclusion path."""
    return b"".join([b2a_base64(node) for node in path])


def path_texts(nodes: NodeSource, first: int, size: int) -> list[bytes]:
    """Return the path lines of the leaves from `first` on, in one walk: neighbours share all but their last lines."""
    texts = [b""] * (size - first)
    waiting = [(0, size, b"")]
    while waiting:
        start, end, above = waiting.pop()
        if end - start == 1:
            texts[start - first] = above
            continue
        middle = start + split(end - start)
        if middle > first:
            waiting.append((start, middle, b2a_base64(nodes.node(middle, end)) + above))
        waiting.append((middle, end, b2a_base64(nodes.node(start, middle)) + above))
    return texts


def proof_text(record: bytes, index: int, path: bytes, checkpoint: bytes) -> bytes:
    """Return the receipt's text."""
    return b"%bextra %bindex %d\n%b\n%b" % (MAGIC, b2a_base64(record), index, path, checkpoint)
