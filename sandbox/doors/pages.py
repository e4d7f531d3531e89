"""Which part of a list does a request ask for? Page sizes and page tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from sandbox.reasons import Reason, Refused, quoted

Item = TypeVar("Item")

DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000


def page_size(asked: int) -> int:
    """Return how many items a page holds; 0 means the default, negative sizes and ones above the most are refused."""
    if not 0 <= asked <= MAX_PAGE:
        message = f"`page_size` is {asked}; 1 to {MAX_PAGE} is accepted, 0 for {DEFAULT_PAGE}"
        raise Refused(Reason.REQUEST_INVALID, message)
    return asked or DEFAULT_PAGE


def page_start(token: str, default: int = 0) -> int:
    """Return the position a page token stands for."""
    if not token:
        return default
    if not (token.isascii() and token.isdigit() and len(token) <= 18):
        message = f"`page_token` {quoted(token)} is not one of ours; pass `next_page_token` as it came"
        raise Refused(Reason.REQUEST_INVALID, message)
    return int(token)


def page_of(items: Sequence[Item], asked_size: int, token: str) -> tuple[Sequence[Item], str]:
    """Return the page and the token of the next one, empty on the last."""
    start, size = page_start(token), page_size(asked_size)
    following = start + size
    return items[start:following], str(following) if following < len(items) else ""
