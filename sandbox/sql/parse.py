"""Which tree do the tokens make? sqlglot's reading of the text, taken only where its tokens are the engine's own."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import Token as Foreign
from sqlglot.tokenizer_core import TokenType

from sandbox.reasons import Reason, Refused
from sandbox.sql.dialects.base import OPERATOR, STRING, WORD, Dialect, Token, words
from sandbox.sql.lex import Lexed
from sandbox.sql.refusals import refused
from sandbox.sql.told import construct_told

# WHY: sqlglot warns about statements it does not know and quotes them; contents stay out of the event log.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A text that both grammars split into the same tokens, and its tree."""

    lexed: Lexed
    tree: exp.Expr
    nodes: Mapping[type[exp.Expr], Sequence[exp.Expr]]
    """Every node of the tree, by its class."""


def parse(lexed: Lexed) -> Parsed:
    """Parse the text with sqlglot; whatever it raises is a refusal."""
    text, grammar = lexed.text, lexed.dialect.grammar
    try:
        foreign = grammar.tokenize(text)
        _match_tokens(lexed, foreign)
        signs = _keep_prefixes(lexed, foreign)
        foreign = _without(lexed, foreign, lexed.dialect.left_out(lexed.keys))
        if lexed.dialect.has_table_command and "TABLE" in lexed.keys:
            foreign = _with_tables_selected(lexed, foreign)
        if lexed.dialect.has_values_after_with and lexed.keys[0] == "WITH" and "VALUES" in lexed.keys:
            foreign = _with_values_selected(foreign)
        trees = grammar.parser().parse(foreign, text)
        tree = _without_parentheses(trees[0], lexed.dialect) if len(trees) == 1 else None
        nodes = _nodes(tree)
        if not signs.are_of(nodes):
            raise _differ(
                lexed, next(token.start for token in lexed.tokens if token.key in ("+", *lexed.dialect.prefixes))
            )
        if lexed.dialect.has_plain_calls:
            _restore_names(nodes, text)
    except Refused:
        raise
    except (SqlglotError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _unparsable(lexed, error) from error
    if tree is None:
        raise _unparsable(lexed, None)
    return Parsed(lexed=lexed, tree=tree, nodes=nodes)


def _nodes(tree: exp.Expr | None) -> Mapping[type[exp.Expr], Sequence[exp.Expr]]:
    """Sort the nodes of a tree by class, those further up first."""
    nodes: dict[type[exp.Expr], list[exp.Expr]] = {}
    found = [tree] if tree is not None else []
    for node in found:  # grows as it goes
        nodes.setdefault(type(node), []).append(node)
        found.extend(node.iter_expressions())
    return nodes


def _without(lexed: Lexed, foreign: list[Foreign], indexes: Iterable[int]) -> list[Foreign]:
    starts = {lexed.tokens[index].start for index in indexes}
    return [token for token in foreign if token.start not in starts] if starts else foreign


def _with_tables_selected(lexed: Lexed, foreign: list[Foreign]) -> list[Foreign]:
    """Give `TABLE t`, which sqlglot does not know, the tokens of the `SELECT * FROM t` that it means."""
    named = set(lexed.names)
    starts = {token.start for at, token in enumerate(lexed.tokens) if token.key == "TABLE" and at not in named}
    selected: list[Foreign] = []
    for other in foreign:
        if other.start in starts:
            selected += [Foreign(kind, word, other.line, other.col, other.start, other.end) for kind, word in _SELECTED]
        else:
            selected.append(other)
    return selected


def _with_values_selected(foreign: list[Foreign]) -> list[Foreign]:
    """Give `WITH … VALUES …`, which sqlglot does not know, the tokens of `WITH … SELECT * FROM (VALUES …)`."""
    depth = 0
    for at, token in enumerate(foreign):
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        if depth == 0 and token.token_type is TokenType.VALUES:
            parts = [*_SELECTED, (TokenType.L_PAREN, "(")]
            opened = [Foreign(kind, word, token.line, token.col, token.start, token.end) for kind, word in parts]
            last = foreign[-1]
            closed = Foreign(TokenType.R_PAREN, ")", last.line, last.col, last.start, last.end)
            return [*foreign[:at], *opened, *foreign[at:], closed]
    return foreign


_SELECTED: Final = ((TokenType.SELECT, "SELECT"), (TokenType.STAR, "*"), (TokenType.FROM, "FROM"))


def _without_parentheses(tree: exp.Expr | None, dialect: Dialect) -> exp.Expr | None:
    """Take a statement out of the parentheses around it, where the engine has a meaning for them."""
    while type(tree) is exp.Subquery and dialect.naming.has_query_parentheses and is_bare(tree):
        tree = tree.this.pop()
    return tree


def is_bare(node: exp.Subquery) -> bool:
    """Whether a query in parentheses has nothing beside them: no alias, and no clause after them."""
    return not any(value for key, value in node.args.items() if key != "this")


_NAME_QUOTES: Final = ('"', "`")
_MARK: Final = "()"
"""Follows the name of a function while sqlglot parses, so that it knows none by that name and keeps every argument."""


def _restore_names(nodes: Mapping[type[exp.Expr], Sequence[exp.Expr]], text: str) -> None:
    """Give functions, and aliases that are called like one, their names back, and say which names were in quotes."""
    for call in nodes.get(exp.Anonymous, ()):
        if isinstance(call.args["this"], str):
            call.args["this"] = call.args["this"].removesuffix(_MARK)
    for name in nodes.get(exp.Identifier, ()):
        is_quoted = text[start_of(name)] in _NAME_QUOTES
        name.args["quoted"] = is_quoted
        if not is_quoted:
            name.args["this"] = name.args["this"].removesuffix(_MARK)


def start_of(node: exp.Expr | None) -> int:
    """Where a node begins; identifiers know it, others ask the first identifier within; -1 if nothing tells."""
    if node is None:
        return -1
    if type(node) is not exp.Identifier:
        node = node.find(exp.Identifier)
    start = node.meta.get("start", -1) if node is not None else -1
    return start if isinstance(start, int) else -1


def _unparsable(lexed: Lexed, error: Exception | None) -> Refused:
    """Say where the parser stopped, in our words: its own message quotes the text at length."""
    start = 0
    if isinstance(error, ParseError) and error.errors:
        line, column = error.errors[0].get("line") or 1, error.errors[0].get("col") or 1
        start = _offset(lexed.text, int(line), int(column))
    token = next((token for token in lexed.tokens if token.end > start), lexed.tokens[-1])
    message = f"the text does not parse as one {lexed.dialect.name} statement near here; a single `SELECT` is accepted"
    if construct := construct_told(lexed):
        token, message = construct
    return refused(
        Reason.SQL_UNPARSABLE, "sql/parse", message, text=lexed.text, start=token.start, construct=token.key[:40]
    )


def _offset(text: str, line: int, column: int) -> int:
    at = 0
    for _ in range(line - 1):
        at = text.find("\n", at) + 1
    return at + max(column - 1, 0)


def _match_tokens(lexed: Lexed, foreign: list[Foreign]) -> None:
    """Refuse where sqlglot's tokens are not the engine's; take from it every keyword that the engine does not have.

    Equal spans are equal tokens: what kind a token is follows from its first character in both grammars. sqlglot may
    join words of SQL's frame (`GROUP BY`) and split what it composes later (`<<`, `:name`, `.5`).
    """
    tokens = lexed.tokens
    plain = lexed.plain_words
    position, last, at = 0, len(tokens), 0
    for other in foreign:
        if position == last:
            raise _differ(lexed, other.start)
        token = tokens[position]
        if other.start != (at or token.start):
            raise _differ(lexed, other.start)
        end = other.end + 1
        _retype(lexed, other, position)
        at = 0
        while end > token.end:
            position += 1
            if position == last or not _is_frame(position, tokens, plain) or not _is_frame(position - 1, tokens, plain):
                raise _differ(lexed, token.start)
            token = tokens[position]
        if end == token.end:
            position += 1
        elif _is_split(token, lexed.dialect):
            at = end
        else:
            raise _differ(lexed, token.start)
    if position != last or at:
        raise _differ(lexed, tokens[-1].start)


def _retype(lexed: Lexed, other: Foreign, position: int) -> None:
    """Keep sqlglot from reading more into a token than the engine does."""
    is_marked = lexed.dialect.has_plain_calls
    if position in lexed.plain_words:
        # WHY: words such as DATE, IF or PIVOT open a syntax in sqlglot that the engine does not have, and make it
        # read some texts over and over; as names they are what the engine takes them for.
        is_call = position in lexed.calls
        other.token_type = TokenType.VAR if is_call else TokenType.IDENTIFIER
        if is_call and is_marked:
            other.text += _MARK
    elif lexed.keys[position] == "->":
        # WHY: `f(doc -> 'a')` is to sqlglot a function of an argument called `doc`; `->>` is none.
        other.token_type = TokenType.DARROW
    elif is_marked and lexed.tokens[position].kind == STRING and lexed.keys[position - 1] in ("->", "->>"):
        # WHY: sqlglot parses the path of a JSON operator, which is a mere text to the engine; a long one costs 0.3 s.
        other.text = "x"


_BEFORE_VALUES: Final = words(
    "SELECT DISTINCT ALL WHERE HAVING ON BY AND OR NOT IN LIKE BETWEEN CASE WHEN THEN ELSE LIMIT"
)
"""Words that every engine reserves, after which an operand comes. After others a sign is taken for one between two."""


def _keep_prefixes(lexed: Lexed, foreign: list[Foreign]) -> _Signs:
    """Make an operator before its operand, which sqlglot drops or does not know, the `~` that it keeps."""
    prefixes = lexed.dialect.prefixes
    if "+" not in lexed.keys and prefixes.isdisjoint(lexed.keys):
        return _NO_SIGNS
    tokens, signs = lexed.tokens, {*prefixes, "+", "~"}
    kept, starts = 0, set()
    for at, key in enumerate(lexed.keys):
        if key in signs and (key in prefixes or _is_prefix(tokens[at - 1] if at else None)):
            kept += 1
            if key != "~":
                starts.add(tokens[at].start)
    for other in foreign:
        if other.start in starts:
            other.token_type = TokenType.TILDE
    between = sum(key == "+" and token.start not in starts for key, token in zip(lexed.keys, tokens, strict=True))
    return _Signs(kept, between)


class _Signs(NamedTuple):
    """How many operators stand before an operand, and how many `+` between two."""

    before: int
    between: int

    def are_of(self, nodes: Mapping[type[exp.Expr], Sequence[exp.Expr]]) -> bool:
        """Whether the tree has them all, each as what it was taken for.

        # INVARIANT: one that is dropped would leave a bare column, by the name and in the place of one, of what is an
        expression to the engine.
        """
        return self is _NO_SIGNS or self == (len(nodes.get(exp.BitwiseNot, ())), len(nodes.get(exp.Add, ())))


_NO_SIGNS: Final = _Signs(0, 0)


def _is_prefix(before: Token | None) -> bool:
    """Whether an operator after this token has no operand on its left."""
    if before is None:
        return True
    if before.kind == OPERATOR:
        return before.key not in (")", "]")
    return before.kind == WORD and before.key in _BEFORE_VALUES


def _is_frame(position: int, tokens: tuple[Token, ...], plain: frozenset[int]) -> bool:
    return tokens[position].kind == WORD and position not in plain


def _is_split(token: Token, dialect: Dialect) -> bool:
    return token.key in dialect.compound_operators or (token.key[0] in ":." and token.key != "::")


def _differ(lexed: Lexed, start: int) -> Refused:
    token = next((token for token in lexed.tokens if token.end > start), lexed.tokens[-1])
    return refused(
        Reason.SQL_NOT_SUPPORTED,
        "sql/same-tokens",
        f"two readings of {lexed.dialect.name} split this text differently; a plainer spelling is accepted",
        text=lexed.text,
        start=token.start,
        construct=token.key[:40],
    )
