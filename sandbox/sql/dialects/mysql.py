"""How does MariaDB read a text, and what of it may run? Lexer, functions, types and words are files of their own.

The text is kept. It runs in a database of its own that holds nothing but a view for each table that the tool may read,
under that table's name; a name that is not a function of the server's own would be one of that database.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlglot import exp
from sqlglot.dialects.mysql import MySQL as Grammar

from sandbox.sql.catalogue import folded
from sandbox.sql.dialects import refused_functions
from sandbox.sql.dialects.base import Dialect, Naming, words
from sandbox.sql.dialects.mysql_functions import FUNCTIONS, SIZED_ARGUMENTS
from sandbox.sql.dialects.mysql_lexer import scan
from sandbox.sql.dialects.mysql_types import COLLATIONS, TYPE_WORDS, placed_words, types
from sandbox.sql.dialects.words import CLAUSES, IMPOSSIBLE, VERBS

_STRUCTURAL: Final = words(
    """
    SELECT DISTINCT ALL FROM WHERE GROUP ORDER BY HAVING LIMIT OFFSET FETCH UNION INTERSECT EXCEPT VALUES WITH RECURSIVE
    AS NOT AND OR XOR IS NULL IN BETWEEN LIKE REGEXP RLIKE EXISTS CASE WHEN THEN ELSE COLLATE DIV MOD INTERVAL
    JOIN LEFT RIGHT OUTER INNER CROSS NATURAL ON USING ASC DESC OVER PARTITION WITHIN WINDOW ROWS RANGE TRUE FALSE
    CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP FOR SEPARATOR BOTH LEADING TRAILING
    """
)
_WRITE_WORDS: Final = words(
    """
    ALTER ANALYZE CALL CREATE DELETE DROP GRANT INTO KILL LOAD LOCK OPTIMIZE PROCEDURE PURGE RENAME RETURNING REVOKE
    UNLOCK UPDATE
    """
)
_FOREIGN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ILIKE": "`LIKE` is accepted and ignores case",
        "SIMILAR": "`REGEXP` is accepted",
        "GLOB": "`LIKE` is accepted",
        "NULLS": "`ORDER BY x IS NULL, x` is accepted",
        "FILTER": "`sum(CASE WHEN … THEN … END)` is accepted",
        "GROUPING": "`GROUP BY … WITH ROLLUP` is accepted",
        "CUBE": "`GROUP BY … WITH ROLLUP` is accepted",
        "LATERAL": "a subquery in the SELECT list or a window function is accepted",
        "UNNEST": "a join is accepted",
        "ARRAY": "`json_array(…)` is accepted",
        "QUALIFY": "a window function in a query in parentheses, with `WHERE` outside, is accepted",
        "FULL": "`LEFT JOIN … UNION … RIGHT JOIN` is accepted",
        "TOP": "`LIMIT` is accepted",
        "TABLESAMPLE": "`ORDER BY rand() LIMIT …` is accepted",
        "MEMBER": "`json_contains(…)` is accepted",
    }
)
_OWN_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SOUNDS": "`soundex(…) = soundex(…)` is accepted",
        "JSON_TABLE": "`json_extract(…)` is accepted",
        "EXAMINED": "`LIMIT` with a number of rows is accepted",
        "SYSTEM_TIME": "only the rows of now are accepted",
        "BINARY": "`CAST(… AS BINARY)` and `COLLATE utf8mb4_bin` are accepted",
        "VALUES": "`SELECT … UNION ALL SELECT …` is accepted",
        "CURRENT_USER": "who asks is known by `claim('name')` in an author's statement alone",
        "SESSION_USER": "who asks is known by `claim('name')` in an author's statement alone",
    }
)
_KINDS: Final = frozenset(
    getattr(exp, name)
    for name in words(
        """
        Select From Table TableAlias Identifier Column Star Literal HexString BitString Null Boolean Alias Paren Tuple
        Subquery Values With CTE Union Intersect Except Join Where Group Rollup Having Order Ordered Limit Fetch
        LimitOptions Offset Distinct Placeholder And Or Xor Not EQ NEQ GT GTE LT LTE Is NullSafeEQ In Between Like
        RegexpLike Escape Exists Any All Case If Add Sub Mul Div IntDiv Mod Neg BitwiseNot BitwiseAnd BitwiseOr
        BitwiseXor BitwiseLeftShift BitwiseRightShift Cast CastToStrType DataType DataTypeParam Collate Var Interval
        Window WindowSpec WithinGroup CurrentDate CurrentTime CurrentTimestamp Localtime Localtimestamp
        Extract Trim Substring StrPosition Left Right GroupConcat MatchAgainst TimestampAdd TimestampDiff CharacterSet
        Anonymous
        """
    )
)
_NAMING: Final = Naming(
    keeps_case_in_quotes=False,
    has_string_names=False,
    has_boolean_columns=False,
    has_query_parentheses=True,
    has_whole_rows=False,
    alias_clauses=words("group having order distinct"),
    orders_by_columns_too=False,
    ctes_see_all=False,
    nested_with_hides_outer=True,
    reads_joins_whole=False,
    counts_by_bare_name=False,
    no_table="dual",
    string_quotes="'\"",
    has_star_without=False,
    names_values=False,
    has_case_in_tables=True,
    output_name=lambda item: folded(item.this.this) if type(item) is exp.Column else "",
)

MYSQL: Final = Dialect(
    name="mysql",
    grammar=Grammar(),
    scan=scan,
    naming=_NAMING,
    types=types,
    placed_words=placed_words,
    has_plain_calls=True,
    text_to_run=lambda resolved, _: resolved.parsed.lexed.text,
    table_name=lambda name: f"`{name}`",
    openings=frozenset({"SELECT", "WITH", "VALUES", "("}),
    compound_operators=frozenset({"<<", ">>"}),
    structural=_STRUCTURAL,
    verbs=VERBS | words("BINLOG CACHE CHANGE CHECK CHECKSUM DESC GET HELP OPTIMIZE PURGE REPAIR SHUTDOWN STOP XA"),
    write_words=_WRITE_WORDS,
    write_pairs=frozenset({("FOR", "UPDATE"), ("FOR", "SHARE"), ("LOCK", "IN"), (")", "INSERT"), ("(", "DELETE")}),
    impossible=IMPOSSIBLE
    | {("FULL", "JOIN"), ("FULL", "OUTER"), ("DIV", "."), ("MOD", ".")}
    | {(before, after) for before in ("DISTINCT", "ALL") for after in (*CLAUSES, ",", ")", "ON")},
    foreign_words=_FOREIGN_WORDS,
    own_words=_OWN_WORDS,
    kinds=_KINDS,
    fenced_kinds=frozenset(),
    kind_functions={
        exp.CurrentDate: "current_date",
        exp.CurrentTime: "current_time",
        exp.CurrentTimestamp: "current_timestamp",
        exp.Extract: "extract",
        exp.GroupConcat: "group_concat",
        exp.Left: "left",
        exp.Localtime: "localtime",
        exp.Localtimestamp: "localtimestamp",
        exp.MatchAgainst: "match",
        exp.Right: "right",
        exp.StrPosition: "position",
        exp.Substring: "substring",
        exp.TimestampAdd: "timestampadd",
        exp.TimestampDiff: "timestampdiff",
        exp.Trim: "trim",
    },
    operator_functions={},
    functions=FUNCTIONS,
    refused_functions=refused_functions.MYSQL,
    table_functions=MappingProxyType({}),
    sized_arguments=SIZED_ARGUMENTS,
    has_unbounded_values=True,
    joining_functions=words("concat concat_ws ifnull lcase trim ucase insert make_set json_array json_object"),
    squaring_functions=words("replace regexp_replace regexp_instr regexp_substr json_keys json_normalize json_equals"),
    growing_functions=words(
        "replace regexp_replace hex quote json_quote to_base64 export_set json_arrayagg json_objectagg"
    ),
    has_early_outputs=True,
    has_lossy_rollup=True,
    needs_fence=False,  # the views keep hidden rows out before anything else is evaluated
    type_words=TYPE_WORDS,
    collations=COLLATIONS,
    row_ids=frozenset({"_rowid", "row_start", "row_end"}),
    system_prefixes=("sandbox",),
)
