"""Which functions of SQLite may a statement call? Those that read nothing but their arguments and change nothing.

Left out, and so refused: functions that reach outside (`load_extension`, `readfile`, `writefile`, `edit`), that tell
of the connection or the build (`changes`, `last_insert_rowid`, `sqlite_version`, …), that make memory out of a number
(`zeroblob`, `randomblob`), that steer the planner (`likely`, `likelihood`, …), and those of full-text and R-tree
tables. So are those that take the square of what they are given in one call, which no deadline stops: `json_patch`, and
`median` with the percentiles, whose sort a caller can order badly (300,000 rows: a minute and a half).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.sql.dialects.base import Function

_QUIET: Final = """
    coalesce ifnull iif if nullif typeof length octet_length unicode round sign random
    date time datetime julianday unixepoch timediff current_date current_time current_timestamp
    acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
    radians sin sinh sqrt tan tanh trunc claim
    """
"""Never raise, whatever they are given, and take no time worth measuring.

`claim` is ours; `rules/claims.py` says who may.
"""

_RAISING: Final = """
    lower upper ltrim rtrim trim substr substring instr unhex char json_valid json_error_position
    abs concat concat_ws format printf hex quote replace like glob strftime unistr unistr_quote
    json json_array json_array_insert json_array_length json_extract json_insert json_object json_pretty
    json_quote json_remove json_replace json_set json_type
    jsonb jsonb_array jsonb_array_insert jsonb_extract jsonb_insert jsonb_object jsonb_remove jsonb_replace
    jsonb_set
    """
"""A value can make them raise (overflow, malformed JSON, a string beyond the length limit) or take long."""

_AGGREGATES: Final = """
    avg count group_concat string_agg max min sum total
    json_group_array json_group_object jsonb_group_array jsonb_group_object
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
    """
"""`sum` can overflow, but only over rows that every filter beneath it let through."""

_JSON_COLUMNS: Final = ("key", "value", "type", "atom", "id", "parent", "fullkey", "path")
TABLE_FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"json_each": _JSON_COLUMNS, "json_tree": _JSON_COLUMNS}
)
"""Virtual tables that are there without being created, and read nothing but their arguments (src/json.c)."""
ARGUMENT_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    dict.fromkeys(TABLE_FUNCTIONS, ("json", "root"))
)

FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {name: Function(can_raise=False) for name in (_QUIET + _AGGREGATES).split()}
    | {name: Function(can_raise=True) for name in _RAISING.split()}
    | {name: Function(can_raise=True, is_table=True) for name in TABLE_FUNCTIONS}
)
