"""May SQLite prepare this statement? The engine's own opinion, asked once a text, deaf to what our parser thinks.

SQLite asks about every read and call it compiles (https://sqlite.org/c3ref/set_authorizer.html). Tables of the file
are readable only from within the views that hide them; a statement reads those views, no more of them than its plan
claims rights for, and calls no function that the plan does not name. Everything else is denied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

import apsw

from sandbox.sql import folded
from sandbox.sql.dialects import DIALECTS
from sandbox.stages import Rights

_FUNCTIONS: Final = frozenset(DIALECTS["sqlite"].functions) | {"->", "->>"}
_TABLE_FUNCTIONS: Final = frozenset(DIALECTS["sqlite"].table_functions)
_OK: Final = apsw.SQLITE_OK
_DENY: Final = apsw.SQLITE_DENY
_READ: Final = apsw.SQLITE_READ
_FUNCTION: Final = apsw.SQLITE_FUNCTION
_SELECTS: Final = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE})

NOTHING: Final = Rights(relations=(), columns=(), functions=(), claims=())

Beneath = tuple[str, str, str]
"""Table, column, and the view of the file from within which it is read."""


@final
class Authorizer:
    """Answers for one confined connection."""

    __slots__ = (
        "_columns",
        "_for",
        "_relations",
        "beneath",
        "denied",
        "exists",
        "inner",
        "modules",
        "private",
        "rights",
        "schema",
        "was_asked",
    )

    def __init__(self, schema: str, exists: Callable[[str, str], bool]) -> None:
        """Answer for the file attached as `schema`; `exists(schema, name)` tells whether it has a table."""
        self.schema = schema
        self.exists = exists
        self.inner: dict[str, str] = {}
        """The hidden view of a table → the table's folded name."""
        self.beneath: frozenset[Beneath] = frozenset()
        """What views of the file, named as tables in a spec, read beneath themselves."""
        self.modules: frozenset[str] = frozenset()
        """Virtual tables that exist without being created."""
        self.private: frozenset[str] = frozenset()
        """Functions that only the views can name."""
        self.rights = NOTHING
        """Of the plan that is about to be prepared."""
        self.was_asked = False
        """Whether SQLite compiled anything since this was last set to False."""
        self.denied = ""
        """What was denied first, for operators; empty if nothing was."""
        self._for = NOTHING
        self._relations: frozenset[str] = frozenset()
        self._columns: frozenset[tuple[str, str]] = frozenset()

    def __call__(
        self, operation: int, first: str | None, second: str | None, database: str | None, within: str | None
    ) -> int:
        """Answer SQLite."""
        self.was_asked = True
        if operation in _SELECTS:
            return _OK
        if operation == _READ:
            is_allowed = self._may_read(first or "", second or "", database, within)
        else:
            is_allowed = operation == _FUNCTION and self._may_call(second or "", within)
        if is_allowed:
            return _OK
        self.denied = self.denied or f"{apsw.mapping_authorizer_function.get(operation, operation)} {first} {second}"
        return _DENY

    def _may_read(self, table: str, column: str, database: str | None, within: str | None) -> bool:
        if database == self.schema:
            return self._may_read_file(table, column, within)
        if database == "temp":
            self._look_up()
            if table in self.inner:  # the outer view is unfolded, under the name the statement gave it
                hidden = self.inner[table]
                return within is not None and folded(within) == hidden and hidden in self._relations
            name = folded(table)
            return name in self._relations and (not column or (name, folded(column)) in self._columns)
        if table in _TABLE_FUNCTIONS and database == "main":  # which has no tables
            return table in self.rights.functions
        # A name that is only counted comes without a schema: a common table expression, or a table of the file.
        return database is None and not column and self._is_of_the_statement(folded(table))

    def _may_read_file(self, table: str, column: str, within: str | None) -> bool:
        if within is not None and self.inner.get(within) == folded(table):
            return True
        if not column:
            # INVARIANT: no statement knows the schema's name, so this is an inner view that was folded into it.
            return folded(table) in self.inner.values() or any(table == known for known, _, _ in self.beneath)
        return within is not None and (table, column, within) in self.beneath

    def _is_of_the_statement(self, name: str) -> bool:
        self._look_up()
        if name in self._relations:
            return True
        is_engines = name.startswith(("sqlite_", "pragma_")) or name in self.modules
        return not is_engines and not self.exists(self.schema, name)

    def _may_call(self, function: str, within: str | None) -> bool:
        if function not in _FUNCTIONS:
            return function in self.private
        is_views = within in self.inner or any(within == view for _, _, view in self.beneath)
        return is_views or function in self.rights.functions

    def _look_up(self) -> None:
        if self._for is not self.rights:
            self._for = self.rights
            self._relations = frozenset(map(folded, self.rights.relations))
            self._columns = frozenset((folded(table), folded(column)) for table, column in self.rights.columns)
