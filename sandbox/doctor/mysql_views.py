"""Which MariaDB view stands for a table? The rule's columns in order, each as it may be seen, of the rows that may be.

# INVARIANT: a view with a row filter or a mask, or over a view, ends in a LIMIT. MariaDB then neither merges it into
the statement nor takes a condition of the statement below it, so that no condition meets a hidden row or value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from sqlglot import ParseError, exp, parse_one

from sandbox.deployment import Misconfigured
from sandbox.executors.grant_shape import GrantShape
from sandbox.executors.mysql_shape import CANARY, own_database, quoted_name, view_names, views_owner
from sandbox.reasons import quoted
from sandbox.sql import Catalogue, TableShape, folded
from sandbox.toolspec import MaskName, TableRule

FENCE: Final = "\n  LIMIT 18446744073709551615"
_BYTES: Final = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit")


@final
@dataclass(frozen=True, slots=True)
class View:
    """One view of one grant shape."""

    schema: str
    name: str
    columns: tuple[str, ...]
    table: str
    """What it reads, in the connection's database; empty for the canary."""
    reads: tuple[str, ...]
    """The columns it reads of it, those of its row filter too."""
    is_fenced: bool
    create: str
    """The statement that makes it."""

    @property
    def source_digest(self) -> str:
        """SHA-256 of the statement that makes it."""
        return hashlib.sha256(self.create.encode()).hexdigest()


def quoted_text(text: str) -> str:
    """Return a text as one constant, for a session in which a backslash escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def account(name: str, host: str) -> str:
    """Return an account as SQL names it."""
    return f"{quoted_name(name)}@{quoted_name(host)}"


def mysql_views(connection: str, database: str, shape: GrantShape, catalogue: Catalogue) -> tuple[View, ...]:
    """Return the views of a shape, by table, with its canary; raises `Misconfigured` if one cannot be."""
    definer = account(views_owner(connection), "localhost")
    views = [
        _view(definer, database, (shape.schema, name), shape.rules[folded_name], _table(folded_name, catalogue))
        for folded_name, name in sorted(view_names(shape).items())
    ]
    return (*views, _canary(connection, definer, shape))


def grants_of(views: tuple[View, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return the columns that the views' owner must read, by table."""
    granted: dict[str, set[str]] = {}
    for view in views:
        if view.table:
            granted.setdefault(view.table, set()).update(view.reads)
    return {table: tuple(sorted(granted[table])) for table in sorted(granted)}


def _canary(connection: str, definer: str, shape: GrantShape) -> View:
    table = f"{quoted_name(own_database(connection))}.`canary`"
    create = _create(definer, (shape.schema, CANARY), "`note`", table, f"\n  WHERE (tenant = claim('canary')){FENCE}")
    return View(shape.schema, CANARY, ("note",), "", (), is_fenced=True, create=create)


def _create(definer: str, place: tuple[str, str], shown: str, table: str, rest: str) -> str:
    return (
        f"CREATE OR REPLACE ALGORITHM = UNDEFINED DEFINER = {definer} SQL SECURITY DEFINER\n"
        f"  VIEW {quoted_name(place[0])}.{quoted_name(place[1])} AS\n"
        f"  SELECT {shown}\n"
        f"  FROM {table}{rest};"
    )


def _table(name: str, catalogue: Catalogue) -> TableShape:
    shape = catalogue.tables.get(name)
    if shape is None:
        raise Misconfigured(f"there is no table {quoted(name)} in the database, or its name is not one that tools take")
    return shape


def _view(definer: str, database: str, place: tuple[str, str], rule: TableRule, shape: TableShape) -> View:
    types = {folded(column.name): column.declared_type for column in shape.columns}
    missing = [column for column in rule.columns if folded(column) not in types]
    if missing:
        raise Misconfigured(f"table {quoted(shape.name)} has no column {quoted(missing[0])}")
    filtered = frozenset[str]() if rule.row_filter is None else _columns_of(rule.row_filter)
    shown = [_shown(column, rule.masks.get(column), types[folded(column)]) for column in rule.columns]
    read = {*map(folded, rule.columns), *filtered}
    is_fenced = rule.row_filter is not None or bool(rule.masks) or shape.kind == "view"
    condition = "" if rule.row_filter is None else f"\n  WHERE ({rule.row_filter})"
    table = f"{quoted_name(database)}.{quoted_name(shape.name)}"
    create = _create(definer, place, ", ".join(shown), table, condition + (FENCE if is_fenced else ""))
    reads = tuple(column.name for column in shape.columns if folded(column.name) in read)
    return View(*place, rule.columns, shape.name, reads, is_fenced=is_fenced, create=create)


def _columns_of(row_filter: str) -> frozenset[str]:
    """Return the columns that a row filter reads, folded; one that were missed would make the view unreadable."""
    try:
        tree = parse_one(row_filter, dialect="mysql")
    except ParseError as error:
        raise Misconfigured("a row filter is not one that MariaDB takes") from error
    return frozenset(folded(column.name) for column in tree.find_all(exp.Column))


def _shown(column: str, mask: MaskName | None, declared_type: str) -> str:
    name = quoted_name(column)
    if mask is None:
        return name
    kind = declared_type.partition("(")[0]
    as_text = f"CONVERT({name} USING utf8mb4)" if kind in _BYTES else f"CAST({name} AS CHAR CHARACTER SET utf8mb4)"
    return f"{_MASKS[mask].replace('?', as_text)} AS {name}"


_LENGTH: Final = "CHAR_LENGTH(?)"
_TRIMMED: Final = r"REGEXP_REPLACE(?, '(*UCP)^\\s+|\\s+\\z', '')"
_MASKS: Final[Mapping[MaskName, str]] = {
    "null": "IF(FALSE, ?, NULL)",
    "initials": rf"REGEXP_REPLACE({_TRIMMED}, '(*UCP)(\\S)\\S*\\s*', '\\1.')",
    "last4": f"IF({_LENGTH} <= 4, REPEAT('*', {_LENGTH}), CONCAT(REPEAT('*', {_LENGTH} - 4), RIGHT(?, 4)))",
    "year": r"IF(? REGEXP '^[0-9]{4}(-|\\z)', LEFT(?, 4), NULL)",
    "domain": "IF(LOCATE('@', ?) > 0, SUBSTRING_INDEX(?, '@', -1), NULL)",
}
"""What each mask shows of a text, `?`, as `sandbox/executors/masks.py` has it."""
