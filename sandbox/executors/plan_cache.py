"""Has this text been proven before? Proven and refused texts, the least recently used forgotten first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, Generic, TypeVar, final

from sandbox.toolspec import Digest

MAX_TEXT: Final = 32 * 1024 * 1024
"""Characters of SQL remembered in all: a flood of long texts takes no more memory than this, some times over."""

PlanKey = tuple[str, Digest, Digest, Digest]
"""Text, and digests of spec, connection and catalogue. Settings and the gate's build live as long as the cache."""

Known = TypeVar("Known")


@final
class PlanCache(Generic[Known]):
    """Remembers what is known of a text."""

    def __init__(self, size: int, max_text: int = MAX_TEXT) -> None:
        """Hold at most `size` texts of `max_text` characters in all."""
        self._size = size
        self._max_text = max_text
        self._text = 0
        self._lock = threading.Lock()
        self._known: OrderedDict[PlanKey, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: PlanKey) -> Known | None:
        """Return what is known."""
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known

    def put(self, key: PlanKey, known: Known) -> None:
        """Remember, and forget what was used longest ago beyond the bounds."""
        with self._lock:
            if key not in self._known:
                self._text += len(key[0])
            self._known[key] = known
            while len(self._known) > self._size or self._text > self._max_text:
                (text, *_), _ = self._known.popitem(last=False)
                self._text -= len(text)
