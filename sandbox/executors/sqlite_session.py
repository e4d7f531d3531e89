"""How is one connection confined to one tool? Read-only, behind views, under an authorizer, within a deadline.

For each table the tool may read there are two temporary views: an inner one under a name nobody can guess, which
picks the allowed columns, masks them and filters the rows; and an outer one under the table's own name, which hides
the table. The authorizer admits base tables only from within an inner view. It knows nothing of our parser: with the
gate switched off, it still lets no write, no other table and no hidden column through.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Final, Protocol, final

import apsw

from sandbox.executors.masks import MASKS, Mask
from sandbox.executors.sqlite_catalogue import open_read_only
from sandbox.sql.dialects import DIALECTS
from sandbox.stages import Cancellation, ResultColumn, SqlPlan
from sandbox.toolspec import TableRule
from sandbox.values import Cell, JsonObject

STEPS: Final = 1000
"""Virtual machine instructions between two looks at the deadline: some 10 µs of work."""

MAX_VALUE_BYTES: Final = 8 * 1024 * 1024
"""Of one string or blob while a statement runs; larger ones end it."""

MAX_DESCRIBED: Final = 1000
"""Statements whose result columns a session remembers."""

_LIMITS: Final = {
    apsw.SQLITE_LIMIT_LENGTH: MAX_VALUE_BYTES,
    apsw.SQLITE_LIMIT_SQL_LENGTH: 1_100_000,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 400,
    apsw.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    apsw.SQLITE_LIMIT_VDBE_OP: 250_000,
    apsw.SQLITE_LIMIT_FUNCTION_ARG: 100,
    apsw.SQLITE_LIMIT_ATTACHED: 0,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    apsw.SQLITE_LIMIT_VARIABLE_NUMBER: 250,
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
}
_ALLOWED: Final = apsw.SQLITE_OK
_DENIED: Final = apsw.SQLITE_DENY
_READ: Final = apsw.SQLITE_READ
_FUNCTION: Final = apsw.SQLITE_FUNCTION
_FUNCTIONS: Final = (frozenset(DIALECTS["sqlite"].functions) | {"->", "->>"}) - {"claim"}
"""What a statement may call. `claim` and the masks are for the inner views, and `claim` for authors' statements."""

_TABLE_FUNCTIONS: Final = frozenset({"json_each", "json_tree"})
_SELECTS: Final = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE})


class _SqlFunction(Protocol):
    def __call__(self, *cells: Cell) -> Cell: ...


@final
class Session:
    """A connection that can read what one tool may show, and nothing else. Used by one thread at a time."""

    def __init__(self, path: str, tables: Mapping[str, TableRule], *, is_fenced: bool) -> None:
        """Open the file and confine the connection for good; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
        self._claims: JsonObject = {}
        self._deadline = float("inf")
        self._cancellation = Cancellation()
        self._readable: frozenset[tuple[str, str]] = frozenset()
        self._relations: frozenset[str] = frozenset()
        self._described: dict[str, tuple[ResultColumn, ...]] = {}
        self._inner: dict[str, str] = {}
        self._beneath: frozenset[tuple[str | None, ...]] = frozenset()
        self._modules: frozenset[str] = frozenset()
        self._may_claim = False
        self.denied: str = ""
        """What the authorizer denied last, for the operator's eyes."""
        self._path = path
        self.connection = open_read_only(path)
        self._confine(tables, is_fenced=is_fenced)

    def begin(self, plan: SqlPlan, deadline: float, cancellation: Cancellation) -> None:
        """Set what the next statement may read, whose claims it sees and when it must end."""
        self._claims = plan.claims
        self._deadline = deadline
        self._cancellation = cancellation
        if plan.sql_to_run not in self._described:  # the authorizer is asked only when a text is prepared
            self._readable = frozenset((table.lower(), column.lower()) for table, column in plan.rights.columns)
            self._relations = frozenset(relation.lower() for relation in plan.rights.relations)
            self._may_claim = plan.proposed_sql is None
            self.denied = ""

    def columns_of(self, sql: str, parameters: Mapping[str, Cell]) -> tuple[ResultColumn, ...]:
        """Return the result columns of a statement, as the engine names them; prepares it, runs nothing."""
        known = self._described.get(sql)
        if known is not None:
            return known
        found: list[ResultColumn] = []

        def describe(cursor: apsw.Cursor, *_: object) -> bool:
            found.extend(ResultColumn(c[0], "null", c[1] or "") for c in cursor.description_full)
            return False

        cursor = self.connection.cursor()
        cursor.set_exec_trace(describe)
        try:
            cursor.execute(sql, parameters)
        except apsw.ExecTraceAbort:
            pass
        finally:
            cursor.close()
        if len(self._described) >= MAX_DESCRIBED:
            self._described.clear()
        self._described[sql] = tuple(found)
        return self._described[sql]

    def _confine(self, tables: Mapping[str, TableRule], *, is_fenced: bool) -> None:
        connection = self.connection
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        connection.create_scalar_function("claim", self._claim, 1, deterministic=True)
        for name, mask in MASKS.items():
            connection.create_scalar_function(f"sandbox_mask_{name}", _one_cell(mask), 1, deterministic=True)
        self._modules = frozenset(str(row[0]).lower() for row in connection.execute("PRAGMA module_list"))
        self._beneath = frozenset(triple for rule in tables.values() for triple in self._reads_of(rule))
        for rule in tables.values():
            self._hide(rule, is_fenced=is_fenced)
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        connection.execute("PRAGMA query_only = ON")
        for limit, value in _LIMITS.items():
            connection.limit(limit, value)
        connection.set_progress_handler(self._must_end, STEPS)
        connection.set_authorizer(self._authorize)

    def _reads_of(self, rule: TableRule) -> set[tuple[str | None, ...]]:
        """Return what a table that is a view reads beneath itself: (table, column, database, innermost view)."""
        seen: set[tuple[str | None, ...]] = set()

        def note(operation: int, *facts: str | None) -> int:
            if operation == _READ and facts[3] is not None:
                seen.add(facts)
            return _ALLOWED

        self.connection.set_authorizer(note)
        self.connection.execute(f"SELECT * FROM main.{_name(rule.table)} LIMIT 0")  # noqa: S608 - a quoted name
        self.connection.set_authorizer(None)
        return seen

    def _hide(self, rule: TableRule, *, is_fenced: bool) -> None:
        inner = f"sandbox_{secrets.token_hex(16)}"
        columns = ", ".join(_shown(column, rule) for column in rule.columns)
        where = f" WHERE ({rule.row_filter})" if rule.row_filter is not None else ""
        # WHY: a subquery with LIMIT takes no condition from outside, so nothing of the statement meets a hidden row.
        fence = " LIMIT -1" if is_fenced else ""
        table, names = _name(rule.table), ", ".join(_name(column) for column in rule.columns)
        self.connection.execute(
            f"CREATE TEMP VIEW {inner} AS SELECT {columns} FROM main.{table}{where}{fence};"  # noqa: S608 - quoted names, a proven filter
            f"CREATE TEMP VIEW {table} AS SELECT {names} FROM temp.{inner}"
        )
        self._inner[inner] = rule.table.lower()

    def _authorize(
        self, operation: int, first: str | None, second: str | None, database: str | None, within: str | None
    ) -> int:
        if operation in _SELECTS:
            return _ALLOWED
        if operation == _READ:
            is_allowed = self._may_read(first or "", second or "", database, within)
        else:
            is_allowed = operation == _FUNCTION and self._may_call(second or "", within)
        if not is_allowed:
            self.denied = f"{apsw.mapping_authorizer_function.get(operation, operation)} {first} {second}"
        return _ALLOWED if is_allowed else _DENIED

    def _may_read(self, table: str, column: str, database: str | None, within: str | None) -> bool:
        if database == "main":
            return within in self._inner or (table, column, database, within) in self._beneath
        if database == "temp" and table in self._inner:
            return within is not None and within.lower() == self._inner[table]
        if database == "temp":
            key = table.lower()
            return key in self._relations and (not column or (key, column.lower()) in self._readable)
        if database is not None or table.lower().startswith("pragma_"):
            return False
        return table in _TABLE_FUNCTIONS or (not column and self._is_common_table_expression(table))

    def _is_common_table_expression(self, name: str) -> bool:
        """Whether a name that is only counted is the statement's own: SQLite tells no database for tables either."""
        if name.lower() in self._modules:
            return False
        database = open_read_only(self._path)  # the confined connection may not ask, and tables come and go
        try:
            query = "SELECT 1 FROM main.sqlite_schema WHERE name = ? COLLATE NOCASE"
            return not database.execute(query, (name,)).fetchall()
        finally:
            database.close()

    def _may_call(self, function: str, within: str | None) -> bool:
        return function in _FUNCTIONS or within in self._inner or (function == "claim" and self._may_claim)

    def _claim(self, *arguments: Cell) -> Cell:
        value = self._claims.get(str(arguments[0]))
        return value if isinstance(value, (str, int, float)) else None

    def _must_end(self) -> bool:
        return self._cancellation.is_cancelled or time.monotonic() > self._deadline


def _one_cell(mask: Mask) -> _SqlFunction:
    return lambda *cells: mask(cells[0])


def _shown(column: str, rule: TableRule) -> str:
    mask = rule.masks.get(column)
    name = _name(column)
    return name if mask is None else f"sandbox_mask_{mask}({name}) AS {name}"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
