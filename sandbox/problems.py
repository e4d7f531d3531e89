"""What is wrong with a file, and where? The one shape in which every lint tells it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

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


def counted(count: int, noun: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
