"""Which messages and fields may a tree of the server's grammar hold, and are two trees the same but for their places?

The list is the whole of what is accepted: `postgres_tree` refuses what is not on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, cast, final

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from postgast import pg_query_pb2 as pb

_PLACES: Final = frozenset(
    {"location", "stmt_location", "stmt_len", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"}
)
_FIELDS: Final[Mapping[str, str]] = {
    "ParseResult": "version stmts",
    "RawStmt": "stmt",
    "SelectStmt": "distinct_clause target_list from_clause where_clause group_clause group_distinct having_clause "
    "window_clause values_lists sort_clause limit_offset limit_count limit_option with_clause op all larg rarg",
    "ResTarget": "name val",
    "ColumnRef": "fields",
    "A_Star": "",
    "A_Const": "ival fval boolval sval bsval isnull",
    "Integer": "ival",
    "Float": "fval",
    "Boolean": "boolval",
    "String": "sval",
    "BitString": "bsval",
    "ParamRef": "number",
    "A_Expr": "kind name lexpr rexpr",
    "BoolExpr": "boolop args",
    "NullTest": "arg nulltesttype",
    "BooleanTest": "arg booltesttype",
    "CaseExpr": "arg args defresult",
    "CaseWhen": "expr result",
    "CoalesceExpr": "args",
    "MinMaxExpr": "op args",
    "SQLValueFunction": "op typmod",
    "SubLink": "sub_link_type testexpr oper_name subselect",
    "TypeCast": "arg type_name",
    "TypeName": "names typmods typemod array_bounds",
    "CollateClause": "arg collname",
    "FuncCall": "funcname args agg_order agg_filter over agg_within_group agg_star agg_distinct func_variadic "
    "funcformat",
    "NamedArgExpr": "arg name argnumber",
    "A_ArrayExpr": "elements",
    "A_Indirection": "arg indirection",
    "A_Indices": "is_slice lidx uidx",
    "RowExpr": "args row_format",
    "GroupingFunc": "args",
    "GroupingSet": "kind content",
    "SortBy": "node sortby_dir sortby_nulls use_op",
    "WindowDef": "name refname partition_clause order_clause frame_options start_offset end_offset",
    "List": "items",
    "RangeVar": "schemaname relname inh relpersistence alias",
    "Alias": "aliasname colnames",
    "RangeSubselect": "lateral subquery alias",
    "RangeFunction": "lateral ordinality functions alias coldeflist",
    "ColumnDef": "colname type_name is_local",
    "JoinExpr": "jointype is_natural larg rarg using_clause quals alias",
    "WithClause": "ctes recursive",
    "CommonTableExpr": "ctename aliascolnames ctematerialized ctequery",
}
"""Every message a tree may hold, with the fields that may be set in it; places are none of them."""
_BY_HANDLER: Final = frozenset(
    {
        "SelectStmt.with_clause",
        "WithClause.ctes",
        "ColumnRef.fields",
        "FuncCall.funcname",
        "A_Expr.name",
        "SortBy.use_op",
        "TypeName.names",
        "SubLink.oper_name",
        "CollateClause.collname",
    }
)
"""Fields that the handler of their message looks through whole."""


@final
@dataclass(frozen=True, slots=True)
class Shape:
    """What a message may hold."""

    name: str
    fields: Mapping[int, str]
    """The fields that may be set, by number: the kind of message within, `NODE`, or nothing to visit."""
    repeated: frozenset[int]
    places: tuple[str, ...]
    is_plain: bool
    """Every field may be set and there is nothing to visit within, so that only a handler has to look at it."""


NODE: Final = "Node"
"""Stands around a message of whatever kind."""


@cache
def shapes() -> tuple[Mapping[str, Shape], Mapping[str, Shape]]:
    """Return the list as shapes, by the names of messages, and by the names of the fields of Node that hold them."""
    from postgast import pg_query_pb2 as pb

    messages = pb.DESCRIPTOR.message_types_by_name
    leaves = {
        name
        for name, listed in _FIELDS.items()
        if all(field.message_type is None and field.name in listed.split() for field in messages[name].fields)
    }
    known: dict[str, Shape] = {}
    for name, listed in _FIELDS.items():
        fields = messages[name].fields
        allowed = [field for field in fields if field.name in listed.split()]
        places = tuple(field.name for field in fields if field.name in _PLACES)
        kinds = {
            field.number: ""
            if field.message_type is None or field.message_type.name in leaves or f"{name}.{field.name}" in _BY_HANDLER
            else field.message_type.name
            for field in allowed
        }
        known[name] = Shape(
            name=name,
            fields=kinds,
            repeated=frozenset(field.number for field in fields if field.is_repeated),
            places=places,
            is_plain=len(allowed) + len(places) == len(fields) and not any(kinds.values()),
        )
    by_field = {
        field.name: known[field.message_type.name]
        for field in messages[NODE].fields
        if field.message_type is not None and field.message_type.name in known
    }
    return known, by_field


@cache
def _without_places(*, of_listed_nodes: bool) -> type[pb.ParseResult]:
    """Make the class of a tree whose messages have no places, so that they are none of its fields.

    Asked for that, its Node knows the listed kinds alone and is empty around any other.
    """
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass
    from postgast import pg_query_pb2 as pb

    file = FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        kept = [field for field in message.field if field.name not in _PLACES]
        if of_listed_nodes and message.name == NODE:
            kept = [field for field in kept if field.type_name.rpartition(".")[2] in _FIELDS]
        del message.field[:]
        message.field.extend(kept)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    result = pool.FindMessageTypeByName(pb.ParseResult.DESCRIPTOR.full_name)
    return cast("type[pb.ParseResult]", GetMessageClass(result))


def is_same(taken: Message, other: Message, *, has_empty_nodes: bool) -> bool:
    """Whether a tree that was taken, and so has no places, is another one but for the places of that.

    `has_empty_nodes` says of the first whether a Node of it holds nothing.
    """
    # PERF: two thirds faster than to wipe the places out of the other one here, and to compare messages. protobuf goes
    # through all 270 kinds of a Node to drop a place or to write one; a Node of the 45 listed halves that.
    # INVARIANT: a kind that is not listed becomes an empty Node, which differs where the first tree has none.
    plain = _without_places(of_listed_nodes=not has_empty_nodes).FromString(other.SerializeToString())
    plain.DiscardUnknownFields()
    return bool(plain.SerializeToString() == taken.SerializeToString())
