"""How does SQLite read a text? Its token grammar (sqlite.org/src: src/tokenize.c, parse.y), and what of it may run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite as Grammar

from sandbox.sql.catalogue import folded
from sandbox.sql.dialects import refused_functions
from sandbox.sql.dialects.base import Dialect, Naming, Scan, Unreadable, words
from sandbox.sql.dialects.scanning import after_blanks, scanned
from sandbox.sql.dialects.sqlite_functions import ARGUMENT_COLUMNS, FUNCTIONS, TABLE_FUNCTIONS
from sandbox.sql.dialects.types import cast_types
from sandbox.sql.dialects.words import CLAUSES, IMPOSSIBLE, VERBS

if TYPE_CHECKING:
    from sandbox.sql.resolve import Resolved


class _Grammar(Grammar):
    """sqlglot's grammar of SQLite, but for the paths of JSON functions, which are mere texts to SQLite's."""

    def to_json_path(self, path: exp.Expr | None) -> exp.Expr | None:
        """Leave a path as it stands.

        # WHY: parsed, one string of 64 KiB, a single token within our bounds, costs 0.3 s and 15,000 nodes.
        """
        return path


_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*+(?:
    ('[^']*(?:''[^']*)*')                                                     # 1 string
  | ("[^"]*(?:""[^"]*)*"|`[^`]*(?:``[^`]*)*`|\[[^\]]*\])                      # 2 quoted name
  | ([xX]'(?:[0-9a-fA-F]{2})*')                                               # 3 blob
  | ((?![xX]')[^\W\d][\w$]*)                                                  # 4 word
  | ((?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![\w$]))  # 5 number
  | (:[A-Za-z_][A-Za-z0-9_]*(?![\w$:(]))                                      # 6 parameter
  | (--[^\n]*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)                                 # 7 comment
  | (->>|->|\|\||<<|>>|<=|>=|<>|!=|==|/(?!\*)|[-+*%<>=&|~,.();])                     # 8 operator
  | \Z)""",
    re.VERBOSE,
)
"""One match a token, blanks before it included. Stricter than SQLite, never looser: what is not here is refused, such
as `?1`, `@x`, `$x` (and `:a(b)`, which SQLite reads as one parameter), digits with `_`, form feeds, and characters
that are neither letters nor digits outside quotes."""


def scan(text: str, max_tokens: int) -> Scan:
    """Read the tokens of `text` as SQLite's lexer does; comments become blanks."""
    return scanned(_TOKEN, text, max_tokens, _illegal)


_OPENINGS: Final = {"'": "string", '"': "name", "`": "name", "[": "name", "/": "comment"}


def _illegal(text: str, at: int) -> Unreadable:
    """Say what stopped the lexer: an open quote, a parameter of another style, or a stray character."""
    start = after_blanks(text, at)
    first = text[start]
    if first in _OPENINGS and (first != "/" or text.startswith("/*", start)):
        return Unreadable(start, f"a {_OPENINGS[first]} begins here and does not end")
    if first in "?@$:#":
        return Unreadable(start, f"`{first}` begins no token here; parameters are written `:name`")
    if first.isdigit() or first in "xX":
        return Unreadable(start, "not a number, name or blob that SQLite reads")
    return Unreadable(start, "a character that stands in no SQL token; names with such characters need double quotes")


_STRUCTURAL: Final = words(
    """
    SELECT DISTINCT ALL FROM WHERE GROUP ORDER BY HAVING LIMIT OFFSET UNION INTERSECT EXCEPT VALUES WITH
    RECURSIVE AS MATERIALIZED NOT AND OR IS NULL IN BETWEEN LIKE GLOB ESCAPE EXISTS CASE WHEN THEN ELSE END CAST
    COLLATE JOIN LEFT RIGHT FULL OUTER INNER CROSS NATURAL ON USING ASC DESC NULLS FIRST LAST OVER PARTITION
    ROWS RANGE GROUPS UNBOUNDED PRECEDING FOLLOWING CURRENT ROW EXCLUDE TIES OTHERS NO WINDOW FILTER ISNULL
    NOTNULL REGEXP MATCH INDEXED TRUE FALSE CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP
    """
)
_WRITE_WORDS: Final = words(
    """
    DELETE INSERT UPDATE CREATE DROP ALTER INTO SET RETURNING COMMIT TRANSACTION
    """
)
_FOREIGN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "RLIKE": "`LIKE` and `GLOB` are accepted",
        "SIMILAR": "`LIKE` and `GLOB` are accepted",
        "ILIKE": "`LIKE` is accepted and ignores the case of ASCII letters",
        "INTERVAL": "date modifiers are accepted, such as `date('now', '-1 day')`",
        "EXTRACT": "`strftime('%Y', …)` is accepted",
        "TOP": "`LIMIT` is accepted",
        "FETCH": "`LIMIT` is accepted",
        "QUALIFY": "a window function in a query in parentheses, with `WHERE` outside, is accepted",
        "LATERAL": "a join is accepted",
        "UNNEST": "a join is accepted",
        "PIVOT": "`sum(…) FILTER (WHERE …)` is accepted",
        "TABLESAMPLE": "`ORDER BY random() LIMIT …` is accepted",
        "ANY": "`IN` and `EXISTS` are accepted",
        "SOME": "`IN` and `EXISTS` are accepted",
    }
)
_OWN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "REGEXP": "`LIKE` and `GLOB` are accepted",
        "MATCH": "`LIKE` and `GLOB` are accepted",
        "INDEXED": "the planner chooses indexes",
    }
)
_KINDS: Final = frozenset(
    getattr(exp, name)
    for name in words(
        """
        Select From Table TableAlias Identifier Column Star Literal HexString Null Boolean Alias Paren Tuple
        Subquery Values With CTE Union Intersect Except Join Where Group Having Order Ordered Limit Offset Distinct
        Placeholder And Or Not EQ NEQ GT GTE LT LTE Is NullSafeEQ NullSafeNEQ In Between Like Glob Escape Exists
        Case If Add Sub Mul Div Mod Neg BitwiseNot BitwiseAnd BitwiseOr BitwiseLeftShift BitwiseRightShift DPipe
        Cast DataType DataTypeParam Collate Var Window WindowSpec Filter CurrentDate CurrentTime CurrentTimestamp
        JSONExtract JSONExtractScalar JSONBExtract Abs Acos
        Acosh Anonymous Asin Asinh Atan Atan2 Atanh Avg Ceil Chr Coalesce Concat ConcatWs Cos Cosh Count CumeDist
        Date Degrees DenseRank Exp FirstValue Floor Format Greatest GroupConcat Hex JSONArrayAgg JSONArrayInsert
        JSONKeyValue JSONObject JSONObjectAgg JSONRemove JSONSet JSONType Lag LastValue Lead Least Length Ln Log
        Lower Max Min NthValue Ntile Nullif PercentRank Pi Pow Radians Rand
        Rank Replace Round RowNumber Sign Sin Sinh Sqrt StrPosition Substring Sum Tan Tanh TimeToStr Trim Trunc
        TsOrDsToTimestamp Typeof Unhex Unicode Upper
        """
    )
)

_NAMING: Final = Naming(
    keeps_case_in_quotes=False,
    has_string_names=True,
    has_boolean_columns=True,
    has_query_parentheses=False,
    has_whole_rows=False,
    has_star_without=False,
    alias_clauses=words("on where group having windows order limit offset distinct"),
    orders_by_columns_too=True,
    ctes_see_all=True,
    conditions_see_join=False,
    reads_joins_whole=True,
    forgets_aliases=True,
    counts_by_bare_name=True,
    output_name=lambda item: folded(item.this.this) if type(item) is exp.Column else "",
)


def _text_to_run(resolved: Resolved, _: frozenset[str]) -> str:
    """Return the text as it was proposed, up to its end.

    # WHY with its comments: SQLite calls an output without an alias as it is written, comments within and behind too.
    """
    lexed = resolved.parsed.lexed
    return lexed.given.text[: lexed.end].rstrip()


SQLITE: Final = Dialect(
    name="sqlite",
    grammar=_Grammar(),
    scan=scan,
    naming=_NAMING,
    types=lambda _, keys: cast_types(keys),
    placed_words=lambda _, __: (),
    has_plain_calls=False,
    text_to_run=_text_to_run,
    table_name=lambda name: '"' + name.replace('"', '""') + '"',
    openings=frozenset({"SELECT", "WITH", "VALUES"}),
    compound_operators=frozenset({"<<", ">>"}),
    structural=_STRUCTURAL,
    verbs=_WRITE_WORDS | VERBS,
    write_words=_WRITE_WORDS,
    write_pairs=frozenset(),
    impossible=IMPOSSIBLE
    | {(before, after) for before in ("DISTINCT", "ALL") for after in (*CLAUSES, ",", ")", "ON", "")},
    foreign_words=_FOREIGN_WORDS,
    own_words=_OWN_WORDS,
    kinds=_KINDS,
    fenced_kinds=frozenset({exp.DPipe, exp.Escape, exp.JSONExtract, exp.JSONExtractScalar, exp.JSONBExtract}),
    kind_functions={
        exp.Like: "like",
        exp.Glob: "glob",
        exp.CurrentDate: "current_date",
        exp.CurrentTime: "current_time",
        exp.CurrentTimestamp: "current_timestamp",
    },
    operator_functions={"->": "->", "->>": "->>"},
    merge_function="coalesce",
    functions=FUNCTIONS,
    refused_functions=refused_functions.SQLITE,
    table_functions=TABLE_FUNCTIONS,
    argument_columns=ARGUMENT_COLUMNS,
    sized_arguments=MappingProxyType({}),
    has_unbounded_values=False,  # the executor bounds them
    needs_fence=True,
    type_words=words(
        """
    INT INTEGER TINYINT SMALLINT MEDIUMINT BIGINT INT2 INT8 REAL DOUBLE PRECISION FLOAT NUMERIC DECIMAL
    BOOLEAN TEXT CHARACTER CHAR VARCHAR NCHAR NVARCHAR CLOB BLOB DATE DATETIME TIME TIMESTAMP UNSIGNED BIG
    """
    ),
    collations=frozenset({"BINARY", "NOCASE", "RTRIM"}),
    row_ids=frozenset({"rowid", "oid", "_rowid_"}),
    system_prefixes=("sqlite_", "pragma_"),
)
