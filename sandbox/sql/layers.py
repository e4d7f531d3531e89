"""Which layers does a text pass? Bound, lex, parse and resolve, with the rules of each stage behind it."""

from __future__ import annotations

from sandbox.reasons import Reason, Refused
from sandbox.sql.bound import check_text
from sandbox.sql.contract import GateInput
from sandbox.sql.dialects import DIALECTS
from sandbox.sql.lex import lex
from sandbox.sql.parse import parse
from sandbox.sql.resolve import Resolved, resolve
from sandbox.sql.rules import NAME_RULES, TOKEN_RULES, TREE_RULES


def check(given: GateInput) -> Resolved:
    """Take the text through every layer and rule; nothing but `Refused` comes out of here."""
    try:
        check_text(given.text, given.bounds)
        lexed = lex(given, DIALECTS[given.dialect])
        for token_rule in TOKEN_RULES:
            token_rule(lexed)
        parsed = parse(lexed)
        for tree_rule in TREE_RULES:
            tree_rule(parsed)
        resolved = resolve(parsed)
        for name_rule in NAME_RULES:
            name_rule(resolved)
    except Refused:
        raise
    except Exception as error:
        # INVARIANT: what cannot be proven does not run, whatever the reason that it cannot.
        message = "this statement cannot be proven to only read; a plainer `SELECT` is accepted"
        raise Refused(Reason.SQL_NOT_SUPPORTED, message, rule="sql/unproven", construct=type(error).__name__) from error
    return resolved
