"""Which view stands for a table? The rule's columns in order, each as it may be seen, of the rows that may be seen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from sandbox.deployment import Misconfigured
from sandbox.doctor.quoting import quoted_name
from sandbox.doctor.row_filters import row_filter
from sandbox.executors.grant_shape import GrantShape
from sandbox.reasons import quoted
from sandbox.sql import Catalogue, TableShape, folded
from sandbox.toolspec import MaskName, TableRule

PLAIN_TEXT: Final = ("text", "character varying", "character", "name", "uuid", "boolean")
WHOLE_NUMBERS: Final = ("smallint", "integer", "bigint", "numeric")


@final
@dataclass(frozen=True, slots=True)
class View:
    """One view of one grant shape."""

    schema: str
    name: str
    columns: tuple[str, ...]
    is_barrier: bool
    """No condition of a statement meets a row before the view's own did, unless it cannot tell what it met."""
    table: tuple[str, str]
    """Schema and name of what it reads."""
    reads: tuple[str, ...]
    """The columns it reads of it, those of its row filter too."""
    create: str
    """The statement that makes it."""

    @property
    def sql_name(self) -> str:
        """The view, as SQL names it."""
        return f"{quoted_name(self.schema)}.{quoted_name(self.name)}"

    @property
    def source_digest(self) -> str:
        """SHA-256 of the statement that makes it."""
        return hashlib.sha256(self.create.encode()).hexdigest()


def views_of(shape: GrantShape, catalogue: Catalogue) -> tuple[View, ...]:
    """Return the views of a shape, by table; raises `Misconfigured` if a table or column is not there."""
    return tuple(
        _view(shape.views[name], shape.rules[name], _table(name, catalogue)) for name in sorted(shape.rules)
    )  # fmt: skip


def _table(name: str, catalogue: Catalogue) -> TableShape:
    shape = catalogue.tables.get(name)
    if shape is None:
        raise Misconfigured(f"there is no table {quoted(name)} in the database, or its name is not one that tools take")
    return shape


def _view(place: tuple[str, str], rule: TableRule, shape: TableShape) -> View:
    schema, _, table = shape.name.partition(".")
    types = {folded(column.name): column.declared_type for column in shape.columns}
    missing = [column for column in rule.columns if folded(column) not in types]
    if missing:
        raise Misconfigured(f"table {quoted(shape.name)} has no column {quoted(missing[0])}")
    condition = None if rule.row_filter is None else row_filter(rule.row_filter)
    shown = [_shown(column, rule.masks.get(column), types[folded(column)]) for column in rule.columns]
    read = {*rule.columns, *(condition.columns if condition is not None else ())}
    is_barrier = condition is not None or bool(rule.masks)
    create = (
        f"CREATE VIEW {quoted_name(place[0])}.{quoted_name(place[1])}"
        f"{' WITH (security_barrier)' if is_barrier else ''} AS\n"
        f"  SELECT {', '.join(shown)}\n"
        f"  FROM {quoted_name(schema)}.{quoted_name(table)}"
        f"{'' if condition is None else f'{chr(10)}  WHERE {condition.sql}'};"
    )
    reads = tuple(column.name for column in shape.columns if column.name in read)
    return View(*place, rule.columns, is_barrier, (schema, table), reads, create)


def _shown(column: str, mask: MaskName | None, declared_type: str) -> str:
    name = quoted_name(column)
    if mask is None:
        return name
    if mask == "null":
        return f"CASE WHEN false THEN {name} END AS {name}"
    return f"sandbox.mask_{mask}({_as_text(name, declared_type)}) AS {name}"


def _as_text(name: str, declared_type: str) -> str:
    """Return a column as text; what a session's settings could change goes through a function that pins them."""
    kind = declared_type.partition("(")[0]
    if "[" not in declared_type and kind in {*PLAIN_TEXT, *WHOLE_NUMBERS}:
        return f"{name}::text"
    return f"sandbox.as_text({name})"


def grants_of(views: tuple[View, ...]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the columns that the views' owner must read, by table."""
    granted: dict[tuple[str, str], set[str]] = {}
    for view in views:
        granted.setdefault(view.table, set()).update(view.reads)
    return {table: tuple(sorted(granted[table])) for table in sorted(granted)}
