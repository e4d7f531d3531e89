"""How does DuckDB read a text, and what of it may run? Lexer and functions are files of their own.

DuckDB has no users and no privileges. A statement runs in a process of its own, in an empty database whose only tables
are temporary views under the names of the tool's tables, so a name without a schema is one of those or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

from sandbox.sql.catalogue import folded
from sandbox.sql.dialects import refused_functions
from sandbox.sql.dialects.base import NUMBER, PARAMETER, Dialect, Naming, Token, words
from sandbox.sql.dialects.duckdb_functions import FUNCTIONS, TABLE_FUNCTIONS
from sandbox.sql.dialects.duckdb_lexer import scan
from sandbox.sql.dialects.duckdb_words import COMPREHENSION, EACH
from sandbox.sql.dialects.types import TypeNames
from sandbox.sql.dialects.words import IMPOSSIBLE, VERBS

if TYPE_CHECKING:
    from sandbox.sql.resolve import Resolved

_UNITS: Final = words(
    """
    MICROSECOND MILLISECOND SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR DECADE CENTURY MILLENNIUM
    MICROSECONDS MILLISECONDS SECONDS MINUTES HOURS DAYS WEEKS MONTHS QUARTERS YEARS DECADES CENTURIES MILLENNIA
    """
)
_PARTS: Final = _UNITS | words(
    "EPOCH DOW ISODOW DOY ISOYEAR DAYOFWEEK DAYOFYEAR WEEKDAY WEEKOFYEAR YEARWEEK ERA JULIAN"
)
_TRIMS: Final = words("BOTH LEADING TRAILING")

_TYPE_NAMES: Final = TypeNames(
    words(
        """
        BOOL BOOLEAN LOGICAL TINYINT SMALLINT INT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT
        INT1 INT2 INT4 INT8 SIGNED SHORT LONG REAL FLOAT FLOAT4 FLOAT8 DECIMAL NUMERIC DEC
        TEXT VARCHAR CHAR BPCHAR STRING BLOB BYTEA BINARY VARBINARY BIT BITSTRING UUID JSON
        DATE DATETIME TIMESTAMPTZ TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS TIMESTAMP_US TIMETZ
        """
    ),
    MappingProxyType(
        {
            "DOUBLE": words("PRECISION"),
            "TIME": words("WITH WITHOUT TIME ZONE"),
            "TIMESTAMP": words("WITH WITHOUT TIME ZONE"),
            "INTERVAL": _UNITS,
        }
    ),
    casts=("CAST", "TRY_CAST"),
)

_STRUCTURAL: Final = words(
    """
    SELECT DISTINCT ALL FROM WHERE GROUP ORDER BY HAVING QUALIFY LIMIT OFFSET UNION INTERSECT EXCEPT VALUES WITH
    RECURSIVE AS MATERIALIZED NOT AND OR IS NULL IN BETWEEN SYMMETRIC LIKE ILIKE GLOB SIMILAR TO ESCAPE EXISTS
    CASE WHEN THEN ELSE END CAST TRY_CAST COLLATE ANY SOME ARRAY ROW AT TIME ZONE UNKNOWN EXCLUDE
    EXTRACT POSITION SUBSTRING OVERLAY PLACING TRIM FOR GROUPING SETS ROLLUP CUBE
    JOIN LEFT RIGHT FULL OUTER INNER CROSS NATURAL ASOF SEMI ANTI ON USING LATERAL
    ASC DESC NULLS OVER PARTITION WITHIN FILTER WINDOW
    ROWS GROUPS UNBOUNDED PRECEDING FOLLOWING CURRENT OTHERS TIES NO ISNULL NOTNULL TRUE FALSE
    CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP
    """
)
_FOREIGN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "RLIKE": "`regexp_matches(…)` is accepted",
        "REGEXP": "`regexp_matches(…)` is accepted",
        "TOP": "`LIMIT` is accepted",
    }
)
_OWN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "FETCH": "`LIMIT` is accepted",
        "PIVOT": "`SELECT …, sum(…) FILTER (WHERE …) … GROUP BY …`, with an output for each value, is accepted",
        "UNPIVOT": "`SELECT 'a' AS name, a AS value … UNION ALL SELECT 'b', b …` is accepted",
        "SAMPLE": "`ORDER BY random() LIMIT …` is accepted",
        "TABLESAMPLE": "`ORDER BY random() LIMIT …` is accepted",
        "POSITIONAL": "a join with `ON` is accepted",
        "COLUMNS": "columns by their names are accepted",
        "REPLACE": "columns by their names are accepted",
        "RENAME": "`column AS name` is accepted",
        "LAMBDA": f"{EACH} is accepted",
        "SUMMARIZE": "`SELECT count(c), min(c), max(c) FROM …` is accepted",
    }
)
_KINDS: Final = frozenset(
    getattr(exp, name)
    for name in words(
        """
        Select From Table TableAlias Identifier Column Star Literal Null Boolean Alias Paren Tuple
        Subquery Values With CTE Union Intersect Except Join Lateral Where Group GroupingSets Rollup Cube Qualify
        Having Order Ordered Limit Offset Distinct Placeholder And Or Not EQ NEQ GT GTE LT LTE Is
        NullSafeEQ NullSafeNEQ In Between Like ILike Glob SimilarTo Escape Exists Any All Case If
        Add Sub Mul Div IntDiv Mod Neg Pow BitwiseNot BitwiseAnd BitwiseOr BitwiseLeftShift BitwiseRightShift DPipe
        RegexpLike Cast TryCast DataType DataTypeParam Interval Collate Var
        Window WindowSpec Filter WithinGroup CurrentDate CurrentTime CurrentTimestamp Localtime Localtimestamp
        AtTimeZone Extract Trim Substring StrPosition Overlay Left Right Grouping Anonymous Array Bracket
        JSONExtract JSONExtractScalar JSONPath JSONPathRoot JSONPathKey JSONPathSubscript
        ArrayContainsAll ArrayContainedBy ArrayOverlaps StartsWith
        """
    )
)


def _placed_words(tokens: Sequence[Token], keys: list[str]) -> Iterator[int]:
    """Find the units of EXTRACT and INTERVAL, the end of TRIM, and words that may also be a function's name."""
    for index, key in enumerate(keys):
        before = keys[index - 2 : index] if index > 1 else []
        if _is_placed(key, before) or (key == "RANGE" and keys[index + 1 : index + 2] != ["("]):
            yield index
        elif key == "INTERVAL":
            end = _amount_end(tokens, keys, index + 1)
            if keys[end : end + 1] and keys[end] in _UNITS and end > index + 1:
                yield from (index, end)


def _is_placed(key: str, before: list[str]) -> bool:
    return (
        (key in _PARTS and before == ["EXTRACT", "("])
        or (key in _TRIMS and before == ["TRIM", "("])
        or (key in ("FIRST", "LAST") and before[1:] == ["NULLS"])
    )


def _amount_end(tokens: Sequence[Token], keys: list[str], start: int) -> int:
    """Where the amount of an INTERVAL ends: a number, or what stands in parentheses."""
    if keys[start : start + 1] != ["("]:
        return start + (start < len(keys) and tokens[start].kind == NUMBER)
    depth = 0
    for index in range(start, len(keys)):
        depth += (keys[index] == "(") - (keys[index] == ")")
        if depth == 0:
            return index + 1
    return len(keys)


def _text_to_run(resolved: Resolved, _: frozenset[str]) -> str:
    """Return the text as it stands, with parameters as DuckDB writes them."""
    lexed = resolved.parsed.lexed
    if not lexed.given.parameters:
        return lexed.text
    text = list(lexed.text)
    for token in lexed.tokens:
        if token.kind == PARAMETER:
            text[token.start] = "$"
    return "".join(text)


_NAMING: Final = Naming(
    keeps_case_in_quotes=False,
    has_string_names=False,
    has_boolean_columns=False,
    has_query_parentheses=True,
    has_whole_rows=True,
    has_star_without=True,
    schemas=words("main temp memory system pg_catalog information_schema"),
    has_lateral_queries=True,
    alias_clauses=words("expressions where group having qualify order distinct"),
    orders_by_columns_too=True,
    ctes_see_all=False,
    recursion_sees_all=False,
    reads_joins_whole=False,
    counts_by_bare_name=False,
    names_values=False,
    output_name=lambda item: folded(item.this.this) if type(item) is exp.Column else "",
)

DUCKDB: Final = Dialect(
    name="duckdb",
    grammar=DuckDB(),
    scan=scan,
    naming=_NAMING,
    types=_TYPE_NAMES.find,
    placed_words=_placed_words,
    has_plain_calls=True,
    text_to_run=_text_to_run,
    table_name=lambda name: '"' + name.replace('"', '""') + '"',
    openings=frozenset({"SELECT", "WITH", "VALUES", "(", "FROM"}),
    compound_operators=frozenset({"<<", ">>"}),
    structural=_STRUCTURAL,
    verbs=VERBS | words("PIVOT UNPIVOT SUMMARIZE"),
    write_words=words("INTO RETURNING CREATE GRANT"),
    write_pairs=frozenset({("(", write) for write in ("INSERT", "UPDATE", "DELETE", "MERGE")}),
    impossible=IMPOSSIBLE | {("POSITIONAL", "JOIN")},
    foreign_words=_FOREIGN_WORDS,
    own_words=_OWN_WORDS,
    lambda_word="LAMBDA",
    in_place_of_lambda=EACH,
    no_comprehension=COMPREHENSION,
    kinds=_KINDS,
    fenced_kinds=frozenset(),
    kind_functions={
        exp.Extract: "extract",
        exp.Trim: "trim",
        exp.Substring: "substring",
        exp.StrPosition: "position",
        exp.Overlay: "overlay",
        exp.Left: "left",
        exp.Right: "right",
        exp.AtTimeZone: "timezone",
        exp.CurrentDate: "current_date",
        exp.CurrentTime: "current_time",
        exp.CurrentTimestamp: "current_timestamp",
        exp.Localtimestamp: "localtimestamp",
    },
    operator_functions={},
    functions=FUNCTIONS,
    refused_functions=refused_functions.DUCKDB,
    table_functions=TABLE_FUNCTIONS,
    sized_arguments=MappingProxyType({}),
    has_unbounded_values=False,  # a statement has a process of its own, which is killed
    needs_fence=False,
    type_words=_TYPE_NAMES.words,
    collations=frozenset({"NOCASE", "NOACCENT", "NFC"}),
    row_ids=frozenset({"rowid"}),
    system_prefixes=("duckdb_", "pg_", "sqlite_", "information_schema", "sandbox"),
)
