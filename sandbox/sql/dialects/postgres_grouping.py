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


class Keyed(NamedTuple):
    """What may be read of a table with a primary key."""

    key: frozenset[str]
    columns: frozenset[str]
    """Those that GROUP BY takes."""


def keyed_tables(given: GateInput) -> Mapping[tuple[str, str], Keyed]:
    """Return the tables whose whole key is shown as it is, by the schema and name that stand for each."""
    found: dict[tuple[str, str], Keyed] = {}
    for name, rule in given.tables.items():
        shape = given.catalogue.tables.get(name)
        shown = frozenset(rule.columns)
        if shape is not None and shape.key and shown.difference(rule.masks).issuperset(shape.key):
            schema, _, table = name.partition(".")
            found[given.stands_for.get(name, (schema, table))] = Keyed(frozenset(shape.key), shown & _groupable(shape))
    return found


def _groupable(shape: TableShape) -> frozenset[str]:
    return frozenset(
        column.name
        for column in shape.columns
        if column.declared_type == "jsonb" or not column.declared_type.startswith(_UNEQUAL)
    )


def complete_groups(tree: pb.ParseResult, keyed: Mapping[tuple[str, str], Keyed]) -> None:
    """Add to each GROUP BY that holds the key of a table the table's other columns that its SELECT names."""
    from postgast import find_nodes
    from postgast import pg_query_pb2 as pb

    for select in list(find_nodes(tree, pb.SelectStmt)):
        if select.group_clause and all(node.WhichOneof("node") != "grouping_set" for node in select.group_clause):
            found = list(_sources(select.from_clause, keyed))
            sources = dict(found)
            if any(sources.values()) and len(sources) == len(found):
                named = [_names(column) for column in find_nodes(select, pb.ColumnRef)]
                _complete(select, sources, named)


def _sources(nodes: Iterable[pb.Node], keyed: Mapping[tuple[str, str], Keyed]) -> Iterator[tuple[str, Keyed | None]]:
    """Yield the sources of a FROM under their names, those that are no table with a key with nothing."""
    for node in nodes:
        if node.HasField("join_expr") and not node.join_expr.HasField("alias"):
            yield from _sources((node.join_expr.larg, node.join_expr.rarg), keyed)
        elif node.HasField("range_var"):
            table = node.range_var
            known = None if table.alias.colnames else keyed.get((table.schemaname, table.relname))
            yield table.alias.aliasname or table.relname, known
        else:
            yield "", None


def _names(column: pb.ColumnRef) -> tuple[str, ...]:
    """Return the names of a column, with "" for `*`."""
    return tuple(node.string.sval for node in column.fields)


def _complete(select: pb.SelectStmt, sources: Mapping[str, Keyed | None], named: list[tuple[str, ...]]) -> None:
    is_alone = len(sources) == 1
    grouped = {_names(meant) for node in select.group_clause if (meant := _meant(select, node)) is not None}
    for alias, table in sources.items():
        if table is None or not all((alias, key) in grouped or (is_alone and (key,) in grouped) for key in table.key):
            continue
        wanted = {names[-1] for names in named if names[0] == alias and len(names) > 1}
        if is_alone:
            wanted |= {names[0] for names in named if len(names) == 1}
        for column in sorted(table.columns if "" in wanted else table.columns & wanted):
            if (alias, column) not in grouped and not (is_alone and (column,) in grouped):
                added = select.group_clause.add().column_ref.fields
                added.add().string.sval = alias
                added.add().string.sval = column


def _meant(select: pb.SelectStmt, node: pb.Node) -> pb.ColumnRef | None:
    """Return the column that a term of GROUP BY is, or that the output is whose number it is."""
    if node.HasField("a_const") and 0 < node.a_const.ival.ival <= len(select.target_list):
        node = select.target_list[node.a_const.ival.ival - 1].res_target.val
    return node.column_ref if node.HasField("column_ref") else None
