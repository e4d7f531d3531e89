"""What was found wrong in one file so far? Collects problems, so that one pass tells all of them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, final

from sandbox.problems import Mark, Problem, did_you_mean
from sandbox.reasons import quoted

MAX_SHOWN_LINE: Final = 400
"""Characters of a source line shown beneath a message; a problem further right is told without its line."""


class Rule(StrEnum):
    """Stable ids of what lint of specs and connections finds. Only ever added to."""

    YAML_UNREADABLE = "yaml/unreadable"
    YAML_TOO_LARGE = "yaml/too-large"
    YAML_TOO_DEEP = "yaml/too-deep"
    YAML_SYNTAX = "yaml/syntax"
    YAML_ONE_DOCUMENT = "yaml/one-document"
    YAML_DUPLICATE_KEY = "yaml/duplicate-key"
    YAML_KEY = "yaml/key"
    YAML_ANCHOR = "yaml/anchor"
    YAML_TAG = "yaml/tag"
    YAML_MERGE_KEY = "yaml/merge-key"
    YAML_NUMBER = "yaml/number"
    FILE_NAME = "spec/file-name"
    UNKNOWN_KEY = "spec/unknown-key"
    MISSING_KEY = "spec/missing-key"
    NOT_BUILT = "spec/not-built"
    TYPE = "spec/type"
    VALUE = "spec/value"
    TEXT = "spec/text"
    NAME_TAKEN = "spec/name-taken"
    UNKNOWN_CONNECTION = "spec/unknown-connection"
    CONNECTION_UNREADABLE = "spec/connection-unreadable"
    KIND_OF_TOOL = "spec/kind-of-tool"
    EFFECTS = "spec/effects"
    UNKNOWN_ARGUMENT = "spec/unknown-argument"
    UNUSED_INPUT = "spec/unused-input"
    UNKNOWN_TABLE = "spec/unknown-table"
    UNKNOWN_COLUMN = "spec/unknown-column"
    CEILING = "spec/ceiling"
    ROW_FILTER = "spec/row-filter"
    STATEMENT = "spec/statement"
    SCHEMA = "spec/schema"
    EXAMPLE = "spec/example"
    SETTINGS = "settings/invalid"
    TOML = "connection/toml"
    CONNECTION_KEY = "connection/unknown-key"
    CONNECTION_VALUE = "connection/value"
    CONNECTION_CEILING = "connection/ceiling"
    CONNECTION_PATH = "connection/path"


@final
class Findings:
    """The problems of one file."""

    def __init__(self, file: str, text: str = "") -> None:
        """Collect for `file`, named as the operator would, whose content is `text`."""
        self.file = file
        self.lines = text.split("\n")
        self.problems: list[Problem] = []

    def add(self, rule: Rule, mark: Mark | None, message: str, *, may_show_line: bool = True) -> None:
        """Note one problem; the same sentence at the same place is noted once.

        Without its line where that may hold a secret.
        """
        place = mark or Mark(0, 0)
        problem = Problem(
            file=self.file,
            line=place.line,
            column=place.column,
            rule=rule,
            message=message,
            source_line=self._shown_line(place) if may_show_line else "",
        )
        if problem not in self.problems:
            self.problems.append(problem)

    def line(self, number: int) -> str:
        """Return the line `number`, counted from 1; empty if there is none."""
        return self.lines[number - 1].rstrip("\r") if 0 < number <= len(self.lines) else ""

    def _shown_line(self, place: Mark) -> str:
        if place.column > MAX_SHOWN_LINE:
            return ""
        line = self.line(place.line)[:MAX_SHOWN_LINE]
        return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line)


def choices(accepted: Iterable[str]) -> str:
    """Return the accepted words in backticks, with commas."""
    return ", ".join(quoted(word) for word in accepted)


def suggestion(found: str, accepted: Iterable[str]) -> str:
    """Return what to write instead of `found`: the closest accepted word, else all of them."""
    words = list(accepted)
    return did_you_mean(found[:128], words) or (f"; accepted: {choices(words[:20])}" if words else "")
