"""What is wrong with a file, and where? The one shape in which every lint tells it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from sandbox.deployment import Misconfigured
from sandbox.reasons import quoted
from sandbox.values import JsonObject


@final
@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file, line and column counted from 1."""

    line: int
    column: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in one place."""

    file: str
    """As the operator would name it, relative to the deployment."""
    line: int
    """Counted from 1; 0 where no line is to blame."""
    column: int
    """Counted from 1 in characters; 0 where no column is to blame."""
    rule: str
    """A stable id such as `spec/unknown-key`."""
    message: str
    """One lower-case sentence: what was wrong, what was found, what would be accepted."""
    source_line: str = ""

    def render(self) -> str:
        """Return `file:line:column: message`, the source line and a caret beneath the place."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{place}: {self.message} [{self.rule}]"
        if not self.source_line:
            return text
        margin = f"{self.line:>5} | "
        shown = self.source_line.replace("\t", " ")
        caret = " " * (len(margin) + max(self.column - 1, 0)) + "^"
        return f"{text}\n{margin}{shown}\n{caret}"

    def as_json(self) -> JsonObject:
        """Return the problem for `--json`."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "rule": self.rule,
            "message": self.message,
        }


class LintFailed(Misconfigured):
    """Files do not pass lint; carries every problem found in one pass."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Carry `problems`, in file and line order."""
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column)))
        super().__init__("\n".join(problem.render() for problem in self.problems))


def did_you_mean(found: str, accepted: Iterable[str]) -> str:
    """Return `; did you mean `x`?` if one of `accepted` is close to `found`, else an empty string."""
    close = difflib.get_close_matches(found, list(accepted), n=1, cutoff=0.6)
    return f"; did you mean {quoted(close[0])}?" if close else ""


def did_you_mistype(found: str, accepted: Iterable[str]) -> str:
    """Return what `did_you_mean` does if a slip of the finger or two makes one of `accepted` of `found`, else nothing.

    For names that are known well enough to be typed, where another word of the same letters would only mislead.
    """
    slips = 1 if len(found) < _LONG_NAME else 2
    close = difflib.get_close_matches(found, list(accepted), n=3, cutoff=0.6) if len(found) > slips + 1 else []
    near = [name for name in close if _slips(found, name) <= slips]
    return f"; did you mean {quoted(near[0])}?" if near else ""


_LONG_NAME: Final = 8
"""Characters from which on two slips leave a name recognisable."""


def _slips(found: str, name: str) -> int:
    """Count the letters to add, drop, change or swap with the next, at the least."""
    before: list[int] = []
    row = list(range(len(name) + 1))
    for i, letter in enumerate(found):
        before, last, row = row, before, [i + 1]
        for j, other in enumerate(name):
            cost = min(before[j + 1] + 1, row[j] + 1, before[j] + (letter != other))
            if i and j and letter == name[j - 1] and found[i - 1] == other:
                cost = min(cost, last[j - 1] + 1)
            row.append(cost)
    return row[-1]


def counted(count: int, noun: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
