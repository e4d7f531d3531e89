"""What does the SQL fuzzer's grammar know of an engine? Productions as data; one small file an engine adds its own.

A production is a text with symbols: `<n>` a number, `<t>` a text, `<d>` a time, `<j>` a JSON, `<b>` a condition,
`<int>` and `<str>` constants, `<table>` a table that may be read, `<bad>` one that may not, `<hidden>` a hidden column
of a source, `<scalar n>` a query for one value, `<one n>` a query for many, `<namesake>` a query whose column may be
called like one further out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from sandbox.toolspec import SqlEngine

Productions = Mapping[str, Sequence[str]]


@final
@dataclass(frozen=True, slots=True)
class Words:
    """One engine's grammar beside what all have."""

    engine: SqlEngine
    good: Productions
    """Of each kind of value, what a gate may well permit."""
    bad: Productions
    """Of each kind, what reaches for more; also `source`, `statement` and `tail`."""
    aggregates: Sequence[str]
    windows: Sequence[str]
    joins: Sequence[str]
    sources: Sequence[str]
    """What may stand in FROM beside tables and queries; each is called `{}` and has a column `value` of numbers."""
    quotes: Sequence[str]
    """Ways to write a name."""
    comments: Sequence[str]
    odd: Sequence[str]
    """Tokens that are put in anywhere."""
    shapes: Sequence[str] = ()
    """Ways to write a SELECT beside the plain one, of `{items}`, `{from}`, `{where}` and `{end}`."""
    stars: Sequence[str] = ("*",)
    namesakes: Sequence[str] = ()
    """What gives a column that may be called `{}`, beside what every engine has."""
    repeats: Sequence[str] = ()
    """What makes several rows of one within a SELECT."""
    without: Sequence[str] = ()
    """Of what every engine has, what this one has not: no production that holds it is taken."""


KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    "customers": {"id": "n", "name": "t", "city": "t", "mail": "t", "card": "t", "born": "t"},
    "orders": {"id": "n", "customer_id": "n", "region": "t", "item": "t", "cents": "n", "placed_on": "d"},
    "products": {"id": "n", "name": "t", "category": "t", "price": "n", "stock": "n"},
    "events": {"id": "n", "order_id": "n", "kind": "t", "at": "d", "seconds": "n", "doc": "j"},
    "city_people": {"city": "t", "people": "n"},
    "staff": {"id": "n", "team": "t"},
}
"""What may be read, and of which kind it is."""
HIDDEN: Final[Mapping[str, Sequence[str]]] = {
    "customers": ("ssn",),
    "orders": ("note",),
    "products": ("cost",),
    "events": ("payload", "tip", "tip"),
    "staff": ("wage", "grade"),
}
FORBIDDEN: Final = ("vault", "all_orders", "tokens", "canary7319", "vault", "main.vault", "public.vault", "'vault'")

NAMESAKES: Final = (
    *(
        "{}",
        "x.{}",
        "+ x.{}",
        "(x.{})",
        "(+ x.{})",
        "- - x.{}",
        "x.{} + 0",
        "CAST(x.{} AS integer)",
        "coalesce(x.{}, 1)",
    ),
    *("max(x.{})", "(SELECT x.{})", "CASE WHEN 1 = 1 THEN 1 ELSE x.{} END", "CASE WHEN 1 = 1 THEN 1 ELSE + x.{} END"),
)
"""What gives a column that an engine, or the gate, may call `{}`."""

GOOD: Final[Productions] = {
    "n": (
        *("<int>", "<int>", "<n> + <n>", "<n> - <n>", "<n> * <int>", "<n> / <int>", "1 / (<n> - <int>)", "<n> % 7"),
        *("- <n>", "(<n>)", "abs(<n>)", "length(<t>)", "coalesce(<n>, <n>)", "nullif(<n>, <int>)", "round(<n>)"),
        *("+ <n>", "<namesake>"),
        *("CASE WHEN <b> THEN <n> ELSE <n> END", "CASE <n> WHEN <int> THEN <int> END", "CAST(<n> AS integer)"),
        *("CAST(<t> AS integer)", "<scalar n>", "<scalar n>", "sign(<n>)"),
        "CAST(CASE WHEN <b> THEN '1' END AS integer)",
    ),
    "t": (
        *("<str>", "<str>", "<t> || <t>", "upper(<t>)", "lower(<t>)", "substr(<t>, 1, 3)", "replace(<t>, 'a', 'b')"),
        *("trim(<t>)", "coalesce(<t>, <str>)", "nullif(<t>, <str>)", "CAST(<n> AS text)", "(<t>)", "<scalar t>"),
        *("CASE WHEN <b> THEN <t> ELSE <str> END", "concat(<t>, <n>)"),
    ),
    "d": ("<day>", "coalesce(<d>, <day>)", "<scalar d>", "CASE WHEN <b> THEN <d> END"),
    "j": ("<doc>", "coalesce(<j>, <doc>)"),
    "b": (
        *("<n> = <n>", "<n> < <int>", "<n> >= <n>", "<n> <> <int>", "<t> = <str>", "<t> = <t>", "<t> < <str>"),
        *("<t> LIKE <like>", "<t> NOT LIKE <like>", "<n> BETWEEN <int> AND <int>", "<n> IN (<int>, <int>, <n>)"),
        *("<t> IN (<str>, <str>)", "<n> IN (<one n>)", "<t> IN (<one t>)", "<t> NOT IN (<one t>)", "EXISTS (<one n>)"),
        *("NOT EXISTS (<one n>)", "<t> IS NULL", "<n> IS NOT NULL", "NOT (<b>)", "<b> AND <b>", "<b> OR <b>", "(<b>)"),
        *("<d> > <day>", "<d> BETWEEN <day> AND <day>", "(<n>, <t>) = (<int>, <str>)", "<t> IS NOT DISTINCT FROM <t>"),
        "<n> = <scalar n>",
    ),
    "int": (*map(str, (0, 1, 2, 3, 5, 7, 12, 100, 101, 103, 500, 2000, 73197319, -5)), "1.5", "9223372036854775807"),
    "str": (
        *("'lamp'", "'desk'", "'Paris'", "'EU'", "'US'", "''", "'x'", "'canary7319'", "'zq'", "'it''s'", "'1'"),
        *("'{'", "'view'", "'--'", "'/*'", "NULL"),
    ),
    "like": ("'%a%'", "'canary%'", "'z_'", "'L%'", "'%\\%'", "'%'"),
    "day": ("'2024-03-01'", "'2024-01-15'", "'2025-12-31'"),
    "doc": ("'{\"n\": 1}'", "'[1, 2]'", "'{\"tags\": [\"new\"]}'"),
}  # fmt: skip
"""What every engine has."""

BAD: Final[Productions] = {
    "n": (
        *("<hidden>", "<hidden>", "(SELECT count(*) FROM <bad>)", "nosuch(<n>)", "length(<hidden>)", "sum(tip)", "?"),
        ":p",
    ),
    "t": (
        *("<hidden>", "<hidden>", "(SELECT max(token) FROM vault)", "nosuch(<t>)"),
        "(SELECT min(<hidden>) FROM <table>)",
        *('"token"', "claim('region')", "<t> || <hidden>"),
    ),
    "b": (
        *("<hidden> = <str>", "<hidden> LIKE 'canary%'", "EXISTS (SELECT 1 FROM <bad>)"),
        "<str> IN (SELECT token FROM vault)",
        *("<hidden> IS NULL", "<n> = <hidden>"),
    ),
    "d": ("<hidden>",),
    "j": ("<hidden>",),
    "source": ("<bad>", "<bad>", "(SELECT * FROM <bad>)"),
    "statement": (
        *("DELETE FROM orders", "UPDATE products SET price = 0", "INSERT INTO products (id) VALUES (77)"),
        "DROP TABLE events",
        *("CREATE TABLE mine AS <query>", "SELECT 1; DELETE FROM orders", "<query>; <query>", "EXPLAIN <query>"),
        *("WITH x AS (<query>) DELETE FROM orders", "BEGIN", "COMMIT", "ROLLBACK", "INSERT INTO products (id) <query>"),
    ),
    "tail": ("FOR UPDATE", "; DELETE FROM orders", "; SELECT 1", "INTO mine", "LIMIT (SELECT count(*) FROM vault)"),
}  # fmt: skip
AGGREGATES: Final = (
    *("count(*)", "count(<n>)", "sum(<n>)", "avg(<n>)", "min(<n>)", "max(<n>)", "count(DISTINCT <t>)"),
    *("sum(<n>) FILTER (WHERE <b>)", "sum(CASE WHEN <b> THEN 1 ELSE 0 END)"),
)
WINDOWS: Final = (
    *("row_number() OVER (<w>)", "rank() OVER (<w>)", "sum(<n>) OVER (<w>)", "lag(<n>) OVER (<w>)"),
    *("first_value(<n>) OVER (<w>)", "count(*) OVER (<w>)", "max(<n>) OVER ()", "ntile(3) OVER (<w>)"),
    *("sum(<n>) OVER (<w> ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)", "nth_value(<n>, 2) OVER (<w>)"),
)
JOINS: Final = ("JOIN", "LEFT JOIN", "INNER JOIN", "CROSS JOIN", ",", "RIGHT JOIN", "FULL JOIN", "LEFT OUTER JOIN")
