"""Where in a policy file does something stand? Places for messages, and bounds before Cedar's parser runs.

Nothing here decides what a policy means: that is read from the whole file by Cedar alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from sandbox.problems import Problem

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 60
"""Brackets within brackets. Cedar's parser is recursive: at 1,000 it takes the whole process down (measured)."""
MAX_TOKENS: Final = 2_500
"""In one policy: chains without brackets, such as `1 + 1 + …`, do the same somewhere beyond this (measured)."""

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n\r]*)|(?P<string>"(?:\\.|[^"\\])*")|(?P<word>\w+)|(?P<mark>::|==|!=|<=|>=|&&|\|\||.)""",
    re.DOTALL,
)
POLICY_EFFECTS: Final = frozenset({"permit", "forbid"})
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")


@final
@dataclass(frozen=True, slots=True)
class Token:
    """A word, a string with its quotes, or a mark."""

    text: str
    offset: int


@final
@dataclass(frozen=True, slots=True)
class PolicyFile:
    """The text of one file."""

    name: str
    """As the operator would name it, such as `policies/shop.cedar`."""
    text: str

    def problem(self, offset: int, rule: str, message: str) -> Problem:
        """Return a problem at `offset`, counted in characters."""
        begin = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", begin)
        return Problem(
            file=self.name,
            line=self.text.count("\n", 0, offset) + 1,
            column=offset - begin + 1,
            rule=rule,
            message=message,
            source_line=self.text[begin : end if end >= 0 else len(self.text)].rstrip("\r"),
        )


@final
@dataclass(frozen=True, slots=True)
class Statement:
    """One policy of a file: its tokens up to and with the semicolon."""

    file: PolicyFile
    tokens: Sequence[Token]

    @property
    def text(self) -> str:
        """The policy as written."""
        return self.upto(len(self.tokens) - 1)

    @property
    def first_line(self) -> int:
        """Where it begins, counted from 1."""
        return self.file.text.count("\n", 0, self.tokens[0].offset) + 1

    @property
    def last_line(self) -> int:
        """Where its semicolon stands, counted from 1."""
        return self.file.text.count("\n", 0, self.tokens[-1].offset) + 1

    def upto(self, index: int) -> str:
        """Return the policy's text to the end of its token `index`."""
        last = self.tokens[index]
        return self.file.text[self.tokens[0].offset : last.offset + len(last.text)]

    def problem(self, rule: str, message: str, *needles: str) -> Problem:
        """Return a problem at the first token that reads like a needle, plain or as a string; else at the beginning."""
        wanted = {*needles, *(f'"{needle}"' for needle in needles)}
        body = next((index for index, token in enumerate(self.tokens) if token.text in POLICY_EFFECTS), 0)
        place = next((token for token in self.tokens[body:] if token.text in wanted), self.tokens[0])
        return self.file.problem(place.offset, rule, message)

    def problem_of_id(self, rule: str, message: str) -> Problem:
        """Return a problem at the text of `@id("…")`; at the beginning if there is none."""
        pairs = zip(self.tokens, self.tokens[2:], strict=False)
        place = next((later for name, later in pairs if name.text == "id"), self.tokens[0])
        return self.file.problem(place.offset if place.text.startswith('"') else self.tokens[0].offset, rule, message)

    def bound_problem(self) -> Problem | None:
        """Return what makes the policy too large for Cedar's parser, if anything does."""
        if len(self.tokens) > MAX_TOKENS:
            return self.problem(
                "policy/too-long", f"the policy has {len(self.tokens)} tokens; at most {MAX_TOKENS} are accepted"
            )
        depth = 0
        for token in self.tokens:
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
            if depth > MAX_DEPTH:
                message = f"brackets are nested deeper than {MAX_DEPTH}; split the policy"
                return self.file.problem(token.offset, "policy/too-deep", message)
        return None


def statements_of(file: PolicyFile) -> list[Statement]:
    """Cut a file after each semicolon that is not within a string or a comment."""
    found: list[Statement] = []
    tokens: list[Token] = []
    for match in _TOKEN.finditer(file.text):
        if match.lastgroup == "space":
            continue
        tokens.append(Token(match.group(), match.start()))
        if match.group() == ";":
            found.append(Statement(file, tokens))
            tokens = []
    if tokens:
        found.append(Statement(file, tokens))
    return found
