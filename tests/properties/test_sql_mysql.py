"""Does the gate say of any text for MariaDB that it may run or which rule is against it, and nothing else?"""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from mysql_shop import ask

from sandbox.bench.sql.corpus import read_corpus
from sandbox.reasons import Refused
from sandbox.sql.dialects import DIALECTS

CORPUS: Final = read_corpus().of("mysql")
TEXTS: Final = tuple(case.sql for case in (*CORPUS.honest, *CORPUS.attacks))
FRAGMENTS: Final = (
    *(
        "SELECT",
        "FROM",
        "(",
        ")",
        ",",
        ".",
        "*",
        "'a'",
        '"b"',
        "`id`",
        "id",
        "orders",
        "AS",
        "JOIN",
        "ON",
        "WITH",
        "IN",
    ),
    *(
        "CASE",
        "WHEN",
        "END",
        "NOT",
        "UNION",
        "VALUES",
        "CAST(",
        "COLLATE",
        "OVER",
        "BY",
        "ORDER",
        "LIMIT",
        "1",
        "-",
        "||",
    ),
    *(":p", ";", "\\", "[", "`", "x'", "/*", "/*!", "*/", "--", "-- ", "#", "\n", "@", "INTERVAL", "DAY", "DIV", "!"),
    *(
        "BINARY",
        "REGEXP",
        "XOR",
        "MATCH(",
        "AGAINST(",
        "CONVERT(",
        "USING",
        "EXTRACT(",
        "YEAR",
        "GROUP_CONCAT(",
        "FETCH",
    ),
    *(
        "SEPARATOR",
        "UNBOUNDED",
        "ROW",
        "ESCAPE",
        "DATE",
        "FOR",
        "UPDATE",
        "INTO",
        "dual",
        "count(",
        "replace(",
        "locate(",
    ),
)
fragments = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map(lambda words: "SELECT " + " ".join(words))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Draw a statement of the corpus with a piece cut out, doubled, or another put in its place."""
    text = draw(st.sampled_from(TEXTS))
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    piece = draw(st.sampled_from([*FRAGMENTS, "", text[start:end] * 2]))
    return f"{text[:start]}{piece}{text[draw(st.sampled_from([start, end])) :]}"


@pytest.mark.requirement("sql:gate:only-refusals")
@settings(max_examples=400)
@given(st.text(max_size=60) | fragments | mutated())
def test_any_text_is_permitted_or_refused_by_a_rule(sql: str) -> None:
    refusal: Refused | None = None
    try:
        ask(sql)
    except Refused as raised:
        refusal = raised

    event(refusal.rule if refusal else "permitted")
    assert refusal is None or (refusal.rule.startswith("sql/") and refusal.rule != "sql/unproven")
    assert refusal is None or (refusal.line >= 1 and refusal.column >= 1)


@pytest.mark.requirement("sql:mysql:kept")
def test_what_the_corpus_may_is_permitted_again_as_it_runs() -> None:
    permitted = [case for case in CORPUS.honest if is_permitted_again(case.sql)]

    assert len(permitted) > 0.95 * len(CORPUS.honest)


@pytest.mark.requirement("sql:mysql:kept")
@settings(max_examples=200)
@given(mutated())
def test_what_is_permitted_is_permitted_again_as_it_runs(sql: str) -> None:
    event("permitted" if is_permitted_again(sql) else "refused")


def is_permitted_again(sql: str) -> bool:
    """Whether a text is permitted; then the text that would run is too, as the same."""
    try:
        proven = ask(sql)
    except Refused:
        return False

    assert ask(proven.sql_to_run) == proven
    scanned = DIALECTS["mysql"].scan(proven.sql_to_run, 5_000)
    assert scanned.text == proven.sql_to_run
    assert not [token for token in scanned.tokens if token.key in (";", "@", "INTO")]
    return True
