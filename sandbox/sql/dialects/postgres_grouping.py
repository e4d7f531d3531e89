"""Which columns does GROUP BY a key decide? PostgreSQL knows a table's key, and not that a view of the table has it.

`SELECT c.id, c.name, count(*) … GROUP BY c.id` is right where `id` is the primary key of `c` (SQL:1999, T301). A tool
reads through views, so that the columns which the key decides are added to GROUP BY: that makes no group another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from sandbox.sql.catalogue import TableShape
from sandbox.sql.contract import GateInput

if TYPE_CHECKING:
    from postgast import pg_query_pb2 as pb

_UNEQUAL: Final = ("json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle")
"""Types, as they begin, without an equality that GROUP BY could use; `jsonb` has one."""


class Known(NamedTuple):
    """What may be read of a table."""

    key: frozenset[str]
    """Its primary key; empty if it has none, or not all of it is shown as it is."""
    names: frozenset[str]
    """Its columns."""
    columns: frozenset[str]
    """Those that GROUP BY takes."""


Sources = Mapping[str, "Known | None"]
"""By the name in FROM; nothing where it is no table."""


class _Found(NamedTuple):
    given: tuple[object, object, object]
    tables: Mapping[tuple[str, str], Known]


_FOUND: dict[tuple[int, int, int], _Found] = {}
MAX_FOUND: Final = 256
"""Tools whose tables are remembered; beyond it they are forgotten and found anew."""


def known_tables(given: GateInput) -> Mapping[tuple[str, str], Known]:
    """Return the tables by the schema and name that stand for each; none if none has a key."""
    # PERF: by identity, for these are the same objects at each statement of a tool; entries keep them alive.
    parts = (given.tables, given.catalogue, given.stands_for)
    by_identity = (id(parts[0]), id(parts[1]), id(parts[2]))
    if by_identity not in _FOUND:
        if len(_FOUND) >= MAX_FOUND:
            _FOUND.clear()
        _FOUND[by_identity] = _Found(parts, _known_tables(given))
    return _FOUND[by_identity].tables


def _known_tables(given: GateInput) -> Mapping[tuple[str, str], Known]:
    found: dict[tuple[str, str], Known] = {}
    for name, rule in given.tables.items():
        shape = given.catalogue.tables.get(name)
        if shape is None:
            continue
        shown = frozenset(rule.columns)
        key = frozenset(shape.key) if shown.difference(rule.masks).issuperset(shape.key) else frozenset[str]()
        schema, _, table = name.partition(".")
        found[given.stands_for.get(name, (schema, table))] = Known(key, shown, shown & _groupable(shape))
    return found if any(known.key for known in found.values()) else {}


def _groupable(shape: TableShape) -> frozenset[str]:
    return frozenset(
        column.name
        for column in shape.columns
        if column.declared_type == "jsonb" or not column.declared_type.startswith(_UNEQUAL)
    )


def complete_groups(tree: pb.ParseResult, tables: Mapping[tuple[str, str], Known]) -> None:
    """Add to each GROUP BY that holds the key of a table the table's other columns that its SELECT names."""
    from postgast import find_nodes
    from postgast import pg_query_pb2 as pb

    for select in list(find_nodes(tree, pb.SelectStmt)):
        if select.group_clause and all(node.WhichOneof("node") != "grouping_set" for node in select.group_clause):
            found = list(_sources(select.from_clause, tables))
            sources = dict(found)
            if any(table and table.key for table in sources.values()) and len(sources) == len(found):
                _complete(select, sources, [_place(column, sources) for column in find_nodes(select, pb.ColumnRef)])


def _sources(nodes: Iterable[pb.Node], tables: Mapping[tuple[str, str], Known]) -> Iterator[tuple[str, Known | None]]:
    """Yield the sources of a FROM under their names."""
    for node in nodes:
        if node.HasField("join_expr") and not node.join_expr.HasField("alias"):
            yield from _sources((node.join_expr.larg, node.join_expr.rarg), tables)
        elif node.HasField("range_var"):
            table = node.range_var
            known = None if table.alias.colnames else tables.get((table.schemaname, table.relname))
            yield table.alias.aliasname or table.relname, known
        else:
            yield "", None


def _place(column: pb.ColumnRef, sources: Sources) -> tuple[str, str]:
    """Return the source and the column, "" for `*`; no source where that is not certain."""
    names = [node.string.sval for node in column.fields]
    if len(names) > 1:
        return names[0], names[-1]
    owners = [alias for alias, table in sources.items() if table is None or names[0] in table.names or not names[0]]
    return (owners[0], names[0]) if len(owners) == 1 and sources[owners[0]] else ("", names[0])


def _complete(select: pb.SelectStmt, sources: Sources, named: Iterable[tuple[str, str]]) -> None:
    grouped = {_place(column, sources) for column in _terms(select, sources)}
    wanted = set(named)
    for alias, table in sources.items():
        if table is None or not table.key or not all((alias, key) in grouped for key in table.key):
            continue
        for column in sorted(table.columns):
            if not wanted.isdisjoint({(alias, column), (alias, "")}) and (alias, column) not in grouped:
                added = select.group_clause.add().column_ref.fields
                added.add().string.sval = alias
                added.add().string.sval = column


def _terms(select: pb.SelectStmt, sources: Sources) -> Iterator[pb.ColumnRef]:
    """Yield the columns that are terms of GROUP BY, by themselves or as an output that is named or numbered."""
    names = {name for table in sources.values() if table for name in table.names}
    outputs = {target.res_target.name: target.res_target.val for target in select.target_list}
    for term in select.group_clause:
        for node in term.row_expr.args if term.HasField("row_expr") else (term,):
            meant = node
            if node.HasField("a_const") and 0 < node.a_const.ival.ival <= len(select.target_list):
                meant = select.target_list[node.a_const.ival.ival - 1].res_target.val
            elif node.HasField("column_ref") and len(node.column_ref.fields) == 1:
                name = node.column_ref.fields[0].string.sval
                meant = outputs.get(name, node) if name not in names and None not in sources.values() else node
            if meant.HasField("column_ref"):
                yield meant.column_ref
