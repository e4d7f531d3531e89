"""Where in a TOML file does something stand? The reader keeps no places, so plain text tells, as far as it does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, final

from sandbox.problems import Mark

_TOML_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")


def toml_complaint(error: Exception) -> tuple[str, Mark | None]:
    """Return what the TOML reader says, and where it says that."""
    place = _TOML_PLACE.search(str(error))
    return _TOML_PLACE.sub("", str(error)), Mark(int(place[1]), int(place[2])) if place else None


@final
class TomlPlaces:
    """Where a key stands, as far as plain text tells: the TOML reader keeps no places."""

    def __init__(self, lines: Sequence[str]) -> None:
        """Look through the lines of a file."""
        self._marks: dict[tuple[str, str], Mark] = {}
        table = ""
        for number, line in enumerate(lines, start=1):
            header = re.match(r"""\s*\[\s*["']?([^\]"']+?)["']?\s*\]""", line)
            key = re.match(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*[=.]""", line)
            if header:
                table = header[1]
                self._marks[table, ""] = Mark(number, header.start(1) + 1)
            elif key:
                self._marks.setdefault((table, key[1]), Mark(number, key.start(1) + 1))

    def of(self, table: str, key: str = "") -> Mark:
        """Return where a key of a table stands; else the table, else the beginning of nothing: line 0."""
        return (
            self._marks.get((table, key)) or self._marks.get((table, "")) or self._marks.get(("", table)) or Mark(0, 0)
        )
