"""Where do types stand in a text? In CAST, after `::`, and before a string."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from sandbox.sql.dialects.base import NUMBER, QUOTED, STRING, WORD, Token


def cast_types(keys: list[str], openings: Sequence[str] = ("CAST",)) -> Iterator[int]:
    """Find the tokens between AS and the closing parenthesis of each CAST."""
    if not any(opening in keys for opening in openings):
        return
    for opening, key in enumerate(keys):
        if key not in openings or keys[opening + 1 : opening + 2] != ["("]:
            continue
        depth = 0
        is_type = False
        for index in range(opening + 1, len(keys)):
            depth += (keys[index] == "(") - (keys[index] == ")")
            if depth == 0:
                break
            if is_type:
                yield index
            is_type = is_type or (keys[index] == "AS" and depth == 1)


@final
@dataclass(frozen=True, slots=True)
class TypeNames:
    """The types of an engine whose texts may also write `x::type` and `type 'text'`, as PostgreSQL's do."""

    simple: frozenset[str]
    """Types of one word."""
    followed: Mapping[str, frozenset[str]]
    """Types of several words: the first, and those that may follow it."""
    casts: tuple[str, ...] = ("CAST",)
    """What opens `CAST (x AS type)`."""

    @property
    def words(self) -> frozenset[str]:
        """Every word, and bracket, that a type may be made of."""
        return self.simple.union(self.followed, *self.followed.values(), ("[", "]"))

    def find(self, tokens: Sequence[Token], keys: list[str]) -> Iterator[int]:
        """Find the tokens that make up types."""
        yield from cast_types(keys, self.casts)
        if "::" not in keys and self.simple.isdisjoint(keys) and self.followed.keys().isdisjoint(keys):
            return
        last = len(keys)
        for index, key in enumerate(keys):
            if key == "::":
                yield from range(index + 1, min(self._type_end(tokens, keys, index + 1), last))
            elif (key in self.simple or key in self.followed) and (index == 0 or keys[index - 1] != "::"):
                end = self._words_end(tokens, keys, index)
                if end < last and tokens[end].kind == STRING:
                    yield from range(index, end)
                    following = self.followed["INTERVAL"] if key == "INTERVAL" else ()
                    end += 1
                    while end < last and keys[end] in following:
                        yield end
                        end += 1

    def defined(self, tokens: Sequence[Token], keys: list[str], structural: frozenset[str]) -> Iterator[int]:
        """Find the tokens of types in lists of column definitions: `f(…) AS x (a int, b text)`."""
        for opening, key in enumerate(keys):
            if key != "(" or ")" not in (keys[opening - 2], keys[opening - 3] if keys[opening - 2] == "AS" else ""):
                continue
            at = opening + 1
            while at + 1 < len(keys) and _is_name(tokens[at], structural) and keys[at + 1] in self.words:
                end = self._type_end(tokens, keys, at + 1)
                if keys[end : end + 1] not in ([","], [")"]):
                    break
                yield from range(at + 1, end)
                at = end + 1

    def _type_end(self, tokens: Sequence[Token], keys: list[str], start: int) -> int:
        """Where a type that begins at `start` ends, brackets of an array included."""
        at = self._words_end(tokens, keys, start)
        while keys[at : at + 2] == ["[", "]"] or (keys[at : at + 1] == ["["] and keys[at + 2 : at + 3] == ["]"]):
            if keys[at + 1] != "]" and tokens[at + 1].kind != NUMBER:
                break
            at += 2 if keys[at + 1] == "]" else 3
        return at + (keys[at : at + 1] == ["ARRAY"])

    def _words_end(self, tokens: Sequence[Token], keys: list[str], start: int) -> int:
        following = self.followed.get(keys[start]) if start < len(keys) else None
        at = _size_end(tokens, keys, start + 1)
        while following and at < len(keys) and keys[at] in following:
            at = _size_end(tokens, keys, at + 1)
        return at


def _is_name(token: Token, structural: frozenset[str]) -> bool:
    return token.kind == QUOTED or (token.kind == WORD and token.key not in structural)


def _size_end(tokens: Sequence[Token], keys: list[str], start: int) -> int:
    """Where a size such as `(10, 2)` ends, if there is one."""
    if keys[start : start + 1] != ["("]:
        return start
    at = start + 1
    while at < len(keys) and (tokens[at].kind == NUMBER or keys[at] == ","):
        at += 1
    return at + 1 if keys[at : at + 1] == [")"] and at > start + 1 else start
