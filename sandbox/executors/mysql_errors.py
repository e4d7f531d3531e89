"""What may a caller know of MariaDB's error? A fixed word by its number: its own words can quote hidden rows.

https://mariadb.com/kb/en/mariadb-error-codes/
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from sandbox.executors.ending import failed, timed_out
from sandbox.executors.engine import PlanStale
from sandbox.executors.server_trouble import unavailable
from sandbox.reasons import Refused

INTERRUPTED: Final = 1317
_TIMED_OUT: Final = frozenset({1969, 3024})
_STALE: Final = frozenset(
    {
        *(1044, 1046, 1049, 1051, 1054, 1109, 1142, 1143, 1146, 1227, 1295, 1305, 1336, 1337, 1345, 1356, 1370),
        *(1449, 1465, 1644, 1792, 1030, 4161),
    }
)
"""The target is not what the plan was proven for, or does not take it for what the gate did."""
_UNAVAILABLE: Final = frozenset(
    {
        *(1020, 1021, 1028, 1034, 1036, 1040, 1041, 1053, 1114, 1129, 1158, 1159, 1160, 1161, 1180),
        *(1203, 1205, 1213, 1226, 1412, 1927, 1940, 2006, 2013, 3100, 4031),
    }
)
_OUT_OF_MEMORY: Final = ("out_of_memory", "the statement needs too much memory")
_TOO_COMPLEX: Final = ("too_complex", "the statement is nested too deeply or has too many parts")

_WORDS: Final = MappingProxyType(
    {
        1052: ("ambiguous_column", "a column's name fits several tables; write `table.column`"),
        1055: ("grouping", "a column stands neither in `GROUP BY` nor in an aggregate"),
        1056: ("grouping", "`GROUP BY` names an aggregate"),
        1060: ("duplicate_column", "two columns of a subquery have one name; `AS` gives another"),
        1064: ("syntax", "its parts do not fit together as this engine's grammar has them"),
        1066: ("duplicate_alias", "two tables have one name; `AS` gives another"),
        1110: ("duplicate_column", "a column is named twice"),
        1111: ("misplaced_function", "an aggregate stands where none may be"),
        1115: ("character_set", "there is no such character set"),
        1116: _TOO_COMPLEX,
        1117: _TOO_COMPLEX,
        1119: _TOO_COMPLEX,
        1139: ("pattern", "a regular expression is not well formed"),
        1140: ("grouping", "an aggregate stands beside a column and there is no `GROUP BY`"),
        1210: ("arguments", "a function does not take these arguments"),
        1221: ("misplaced_clause", "a clause stands where it may not"),
        1222: ("column_count", "the parts of a `UNION` have different numbers of columns"),
        1235: ("not_supported", "the engine does not do this; a plainer form may pass"),
        1241: ("column_count", "a subquery or row has another number of columns than is needed"),
        1242: ("cardinality", "a subquery used as a value gave more than one row"),
        1247: ("circular_reference", "a name refers to what is made of it"),
        1248: ("missing_alias", "a subquery in `FROM` has no name; `AS name` gives one"),
        1250: ("misplaced_clause", "a table of a part of a `UNION` stands in its `ORDER BY`"),
        1253: ("collation", "a collation does not belong to the character set"),
        1267: ("collation", "two collations meet; `COLLATE` decides"),
        1270: ("collation", "two collations meet; `COLLATE` decides"),
        1271: ("collation", "two collations meet; `COLLATE` decides"),
        1273: ("collation", "there is no such collation"),
        1292: ("value", "a value is not of the form that its type needs"),
        1300: ("not_unicode", "a text is not in its encoding"),
        1365: ("division_by_zero", "a division by zero; `nullif(x, 0)` as divisor gives NULL"),
        1366: ("value", "a value is not of the form that its type needs"),
        1406: ("too_large", "a value grew beyond the limit"),
        1411: ("value", "a value is not of the form that a function needs"),
        1426: ("type", "a number has more digits than its type may have"),
        1427: ("type", "a number has more digits after the point than in all"),
        1436: _TOO_COMPLEX,
        1463: ("grouping", "a column in `HAVING` stands neither in `GROUP BY` nor in an aggregate"),
        1582: ("arguments", "a function takes another number of arguments"),
        1583: ("arguments", "a function does not take these arguments"),
        1630: ("undefined_function", "there is no such function"),
        1690: ("overflow", "a number grew beyond its type"),
        3144: ("malformed_json", "a text is not JSON"),
        1105: ("value", "a value is not of the form that a function needs"),
        4005: ("circular_reference", "a recursive table needs a first part that is not recursive"),
        4008: ("circular_reference", "a recursive table needs a first part that is not recursive"),
        4015: ("misplaced_function", "a window function stands where none may be"),
        4016: ("misplaced_function", "a window function stands where none may be"),
        4018: ("misplaced_function", "a window function needs an `ORDER BY` in its window"),
        4038: ("malformed_json", "a text is not JSON"),
        4078: ("type", "values of types that do not go together"),
        1037: _OUT_OF_MEMORY,
        1038: _OUT_OF_MEMORY,
        1290: _OUT_OF_MEMORY,
    }
)
_OTHER: Final = ("other", "no more can be told without telling of rows")


def told(number: int) -> Refused | PlanStale:
    """Return what to raise for an error of that number."""
    if number in _WORDS:
        return failed(*_WORDS[number])
    if number in _STALE:
        return PlanStale(str(number))
    if number in _TIMED_OUT:
        return timed_out()
    if number in _UNAVAILABLE or number == INTERRUPTED:
        return unavailable()
    return failed(*_OTHER)
