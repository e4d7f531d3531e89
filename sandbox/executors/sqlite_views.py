"""How does a table look to one tool? Two temporary views: one that picks, masks and filters, one that has its name."""

from __future__ import annotations

import secrets
from typing import Final, Protocol, final

import apsw

from sandbox.executors.masks import MASKS, Mask
from sandbox.sql.dialects import DIALECTS
from sandbox.sql.dialects.base import WORD
from sandbox.toolspec import MaskName, TableRule
from sandbox.values import Cell

CLAIM: Final = "claim"
_MAX_TOKENS: Final = 5_000


class SqlFunction(Protocol):
    """Python that SQLite calls."""

    def __call__(self, *cells: Cell) -> Cell:
        """Return the value for the arguments; an exception stops the statement."""
        ...


@final
class Views:
    """Makes the views of one connection, and the functions that only they can name."""

    __slots__ = ("_schema", "_secret", "functions")

    def __init__(self, schema: str) -> None:
        """Make views over the file attached as `schema`."""
        self._schema = schema
        self._secret = secrets.token_hex(16)
        self.functions = frozenset({self._private(CLAIM), *map(self._private, MASKS)})
        """Functions of filters and masks. SQLite checks them again, out of their view, where it rewrites a window."""

    def register(self, connection: apsw.Connection, claim: SqlFunction) -> None:
        """Teach the connection `claim` for authors' statements, and the functions of its views."""
        connection.create_scalar_function(CLAIM, claim, 1, deterministic=True)
        connection.create_scalar_function(self._private(CLAIM), claim, 1, deterministic=True)
        for name, mask in MASKS.items():
            connection.create_scalar_function(self._private(name), _one_cell(mask), 1, deterministic=True)

    def hide(self, connection: apsw.Connection, rule: TableRule, *, is_view: bool, is_fenced: bool) -> str:
        """Hide a table behind its two views; returns the inner one's name."""
        inner = f"inner_{secrets.token_hex(16)}"
        where = f" WHERE ({self._filter(rule.row_filter)})" if rule.row_filter is not None else ""
        # WHY: a subquery with LIMIT takes no condition from outside, so nothing of the statement meets a hidden row.
        fence = " LIMIT -1" if is_fenced and (where or is_view) else ""
        columns = ", ".join(self._shown(column, rule.masks.get(column)) for column in rule.columns)
        table, names = quoted_name(rule.table), ", ".join(map(quoted_name, rule.columns))
        connection.execute(
            f"CREATE TEMP VIEW {inner} AS SELECT {columns} FROM {self._schema}.{table}{where}{fence};"  # noqa: S608 - quoted names, a proven filter
            f"CREATE TEMP VIEW {table} AS SELECT {names} FROM temp.{inner}"
        )
        return inner

    def _shown(self, column: str, mask: MaskName | None) -> str:
        name = quoted_name(column)
        return name if mask is None else f"{self._private(mask)}({name}) AS {name}"

    def _filter(self, expression: str) -> str:
        """Return the filter with `claim` under the name that no statement knows."""
        scan = DIALECTS["sqlite"].scan(expression, _MAX_TOKENS)
        parts, at = [], 0
        for token in scan.tokens:
            if token.kind == WORD and token.key == CLAIM.upper() and scan.text[token.end :].lstrip().startswith("("):
                parts += [scan.text[at : token.start], self._private(CLAIM)]
                at = token.end
        return "".join([*parts, scan.text[at:]])

    def _private(self, name: str) -> str:
        return f"{name}_{self._secret}"


def _one_cell(mask: Mask) -> SqlFunction:
    return lambda *cells: mask(cells[0])


def quoted_name(name: str) -> str:
    """Return a name as SQLite takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
