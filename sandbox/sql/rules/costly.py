"""Would one call take time in proportion to the product of two lengths? Within one the engine cannot be stopped."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp

from sandbox.reasons import Reason
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved

RULE: Final = "sql/costly"

MAX_CHARACTERS: Final = 32
"""Characters that a trim may take off, written out."""

MAX_LENGTH: Final = 1_000
"""Characters that a call may make a text as long as."""

_REPEAT: Final = "repeat"
_WIDE: Final = re.compile(r"%(?:\d+\$)?-*(?:\*(?!\d+\$)|0*[1-9]\d{3})")
"""A width of more than three digits, or one that the next argument says."""
_WIDTH_OF_ARGUMENT: Final = re.compile(r"\*(\d+)\$")
_NAMES: Final = frozenset({"trim", "btrim", "ltrim", "rtrim"})


def check(resolved: Resolved) -> None:
    """Refuse calls whose cost data decide: characters to take off, and lengths, that are not written out."""
    _check_characters(resolved)
    if resolved.parsed.lexed.dialect.sized_arguments:
        _check_sizes(resolved)
    if resolved.parsed.lexed.dialect.template_functions:
        _check_templates(resolved)


def _check_sizes(resolved: Resolved) -> None:
    lexed = resolved.parsed.lexed
    sized = lexed.dialect.sized_arguments
    calls = {token.key.lower(): token for token in resolved.calls}
    if calls.keys().isdisjoint(sized):
        return
    for node in resolved.parsed.nodes.get(exp.Anonymous, ()):
        name = node.name.lower()
        at = sized.get(name)
        if at is None or (size := node.expressions[at] if len(node.expressions) > at else None) is None:
            continue
        is_written = type(size) is exp.Literal and not size.is_string and size.name.isdigit()
        each = _length(node.expressions[0]) if name == _REPEAT else 1
        if is_written and int(size.name) * each <= MAX_LENGTH:
            continue
        message = f"the length is a number of at most {MAX_LENGTH}, written out"
        if name == _REPEAT:
            message = f"a text and how often it is repeated, written out, {MAX_LENGTH} characters in all, are accepted"
        token = calls[name]
        raise refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=token.start, construct=name)


def _check_templates(resolved: Resolved) -> None:
    """Refuse `format('%999999999s', …)`, widths that an argument says, and texts that are not written out."""
    lexed = resolved.parsed.lexed
    calls = {token.key.lower(): token for token in resolved.calls}
    if calls.keys().isdisjoint(lexed.dialect.template_functions):
        return
    for node in resolved.parsed.nodes.get(exp.Anonymous, ()):
        name = node.name.lower()
        if name not in lexed.dialect.template_functions or not node.expressions:
            continue
        if _is_narrow(*node.expressions):
            continue
        message = f"a text that is written out, with widths of at most {MAX_LENGTH - 1}, is accepted here"
        token = calls[name]
        raise refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=token.start, construct=name)


def _is_narrow(template: exp.Expr, *arguments: exp.Expr) -> bool:
    """Whether a template of `format` is written out, and with it every width."""
    if not (type(template) is exp.Literal and template.is_string) or _WIDE.search(template.name):
        return False
    widths = [int(number) - 1 for number in _WIDTH_OF_ARGUMENT.findall(template.name)]
    return all(0 <= at < len(arguments) and _is_small(arguments[at]) for at in widths)


def _is_small(width: exp.Expr) -> bool:
    number = width.this if type(width) is exp.Neg else width
    return type(number) is exp.Literal and not number.is_string and number.name.isdigit() and len(number.name) <= 3


def _length(node: exp.Expr) -> int:
    """Return how long a text is, if it is written out; else more than is accepted."""
    return len(node.name) if type(node) is exp.Literal and node.is_string else MAX_LENGTH + 1


def _check_characters(resolved: Resolved) -> None:
    """Refuse `trim(x, characters)` and `unhex(x, characters)` unless the characters are a short text, written out."""
    lexed = resolved.parsed.lexed
    calls = {token.key.lower(): token for token in resolved.calls if token.key.lower() in {*_NAMES, "unhex"}}
    if not calls:
        return
    nodes = resolved.parsed.nodes
    for node in (each for kind in (exp.Anonymous, exp.Trim, exp.Unhex) for each in nodes.get(kind, ())):
        second = _second_argument(node)
        if second is None or (second.is_string and len(second.name) <= MAX_CHARACTERS):
            continue
        token = next(iter(calls.values()))
        message = f"the characters to take off are a text of at most {MAX_CHARACTERS}, written out"
        raise refused(
            Reason.SQL_NOT_SUPPORTED, RULE, message, text=lexed.text, start=token.start, construct=token.key[:40]
        )


def _second_argument(node: exp.Expr) -> exp.Expr | None:
    is_named = isinstance(node, exp.Anonymous) and node.name.lower() in {*_NAMES, "unhex"}
    if is_named:
        found = node.expressions[1] if len(node.expressions) > 1 else None
    elif isinstance(node, (exp.Trim, exp.Unhex)):
        found = node.args.get("expression") or (node.expressions[1:] or [None])[0]
    else:
        found = None
    return found if isinstance(found, exp.Expr) else None
