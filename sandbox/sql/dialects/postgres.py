"""How does PostgreSQL read a text, and what of it may run? Lexer, types, functions and names are files of their own.

A session that runs such a text has nothing but pg_catalog in its search path: a function, type, operator or collation
without a schema is PostgreSQL's own, and every table has a schema in the text that runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres as Grammar

from sandbox.sql.dialects import refused_functions
from sandbox.sql.dialects.base import Dialect, Token, words
from sandbox.sql.dialects.postgres_functions import FUNCTIONS, RECORD_FUNCTIONS, SIZED_ARGUMENTS, TABLE_FUNCTIONS
from sandbox.sql.dialects.postgres_lexer import scan
from sandbox.sql.dialects.postgres_names import NAMING
from sandbox.sql.dialects.postgres_text import text_to_run
from sandbox.sql.dialects.postgres_tree import COLLATIONS
from sandbox.sql.dialects.postgres_types import TYPE_NAMES, TYPE_WORDS, placed_words
from sandbox.sql.dialects.words import IMPOSSIBLE, VERBS

_STRUCTURAL: Final = words(
    """
    SELECT DISTINCT ALL FROM WHERE GROUP ORDER BY HAVING LIMIT OFFSET FETCH UNION INTERSECT EXCEPT VALUES WITH
    RECURSIVE AS MATERIALIZED NOT AND OR IS NULL IN BETWEEN SYMMETRIC ASYMMETRIC LIKE ILIKE SIMILAR TO ESCAPE EXISTS
    VARIADIC CASE WHEN THEN ELSE END CAST COLLATE ANY SOME ARRAY ROW AT TIME ZONE LOCAL UNKNOWN
    EXTRACT POSITION SUBSTRING OVERLAY PLACING TRIM FOR OVERLAPS GROUPING SETS ROLLUP CUBE
    JOIN LEFT RIGHT FULL OUTER INNER CROSS NATURAL ON USING LATERAL ORDINALITY
    ASC DESC NULLS FIRST LAST NEXT ONLY TIES OVER PARTITION WITHIN FILTER WINDOW
    ROWS RANGE GROUPS UNBOUNDED PRECEDING FOLLOWING CURRENT EXCLUDE OTHERS NO ISNULL NOTNULL TRUE FALSE
    CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP
    """
)
_FOREIGN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "RLIKE": "`~` is accepted",
        "REGEXP": "`~` is accepted",
        "GLOB": "`LIKE` is accepted",
        "TOP": "`LIMIT` is accepted",
        "QUALIFY": "a window function in a query in parentheses, with `WHERE` outside, is accepted",
        "PIVOT": "`sum(…) FILTER (WHERE …)` is accepted",
        "DATEADD": "`+ INTERVAL '1 day'` is accepted",
        "DATEDIFF": "subtraction of dates is accepted",
    }
)
_OWN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "TABLESAMPLE": "`ORDER BY random() LIMIT …` is accepted",
        "SEARCH": "`ORDER BY` a column that the recursion counts is accepted",
        "CYCLE": "`UNION` in place of `UNION ALL` ends a recursion",
        "OPERATOR": "the operator by itself is accepted",
        "CURRENT_USER": "who asks is known by `claim('name')` in an author's statement alone",
        "SESSION_USER": "who asks is known by `claim('name')` in an author's statement alone",
    }
)
_KINDS: Final = frozenset(
    getattr(exp, name)
    for name in words(
        """
        Select From Table TableAlias Identifier Column Star Literal ByteString RawString BitString HexString Null
        Boolean Alias Paren Tuple Subquery Values With CTE Union Intersect Except Join Lateral Where Group GroupingSets
        Rollup Cube Having Order Ordered Limit Fetch LimitOptions Offset Distinct Placeholder And Or Not EQ NEQ GT GTE
        LT LTE Is NullSafeEQ NullSafeNEQ In Between Like ILike SimilarTo Escape Exists Any All Case If Add Sub Mul Div
        Mod Neg Pow BitwiseNot BitwiseAnd BitwiseOr BitwiseXor BitwiseLeftShift BitwiseRightShift Sqrt Cbrt DPipe
        RegexpLike RegexpILike Cast DataType DataTypeParam Interval IntervalSpan Collate Var Kwarg Window WindowSpec
        Filter WithinGroup CurrentDate CurrentTime CurrentTimestamp Localtime Localtimestamp AtTimeZone Extract Trim
        Substring StrPosition Overlay Overlaps Left Right Grouping Anonymous Array Bracket Slice JSONPath JSONPathRoot
        JSONPathKey JSONPathSubscript JSONExtract JSONExtractScalar JSONBExtract JSONBExtractScalar JSONBContainsTopKey
        JSONBContainsAnyTopKeys JSONBContainsAllTopKeys JSONBDeleteAtPath JSONBPathExists MatchAgainst ArrayContainsAll
        ArrayContainedBy ArrayOverlaps Adjacent ExtendsLeft ExtendsRight ParseJSON ColumnDef
        """
    )
)


def _types(tokens: Sequence[Token], keys: list[str]) -> Iterator[int]:
    yield from TYPE_NAMES.find(tokens, keys)
    if not RECORD_FUNCTIONS.isdisjoint(map(str.lower, keys)):
        yield from TYPE_NAMES.defined(tokens, keys, _STRUCTURAL)


def _left_out(keys: Sequence[str]) -> Iterator[int]:
    """Find VARIADIC and the operator of ORDER BY … USING, which name nothing and are around nothing.

    Where they may stand is for the server's own grammar to say.
    """
    for index, key in enumerate(keys):
        if key == "VARIADIC":
            yield index
        elif key == "USING" and keys[index + 1 : index + 2] in (["<"], [">"]):
            yield from (index, index + 1)


POSTGRES: Final = Dialect(
    name="postgres",
    grammar=Grammar(),
    scan=scan,
    naming=NAMING,
    types=_types,
    placed_words=placed_words,
    has_plain_calls=True,
    left_out=_left_out,
    prefixes=frozenset({"@"}),
    text_to_run=text_to_run,
    table_name=lambda name: ".".join(f'"{part}"' for part in name.split(".")),
    openings=frozenset({"SELECT", "WITH", "VALUES", "TABLE", "("}),
    compound_operators=frozenset({"<<", ">>"}),
    structural=_STRUCTURAL,
    verbs=VERBS,
    write_words=words("INTO RETURNING CREATE GRANT"),
    write_pairs=frozenset(
        {("FOR", lock) for lock in ("UPDATE", "SHARE", "NO", "KEY")}
        | {("(", write) for write in ("INSERT", "UPDATE", "DELETE", "MERGE")}
    ),
    impossible=IMPOSSIBLE,
    foreign_words=_FOREIGN_WORDS,
    own_words=_OWN_WORDS,
    kinds=_KINDS,
    fenced_kinds=frozenset(),
    kind_functions={
        exp.Extract: "extract",
        exp.Trim: "trim",
        exp.Substring: "substring",
        exp.StrPosition: "position",
        exp.Overlay: "overlay",
        exp.Overlaps: "overlaps",
        exp.Left: "left",
        exp.Right: "right",
        exp.Grouping: "grouping",
        exp.AtTimeZone: "timezone",
        exp.CurrentDate: "current_date",
        exp.CurrentTime: "current_time",
        exp.CurrentTimestamp: "current_timestamp",
        exp.Localtime: "localtime",
        exp.Localtimestamp: "localtimestamp",
    },
    operator_functions={},
    functions=FUNCTIONS,
    refused_functions=refused_functions.POSTGRES,
    table_functions=TABLE_FUNCTIONS,
    has_empty_outputs=True,
    has_table_command=True,
    has_values_after_with=True,
    sized_arguments=SIZED_ARGUMENTS,
    template_functions=frozenset({"format"}),
    has_unbounded_values=True,
    needs_fence=False,
    type_words=TYPE_WORDS,
    collations=COLLATIONS,
    row_ids=frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}),
    system_prefixes=("pg_", "information_schema.", "sandbox"),
)
