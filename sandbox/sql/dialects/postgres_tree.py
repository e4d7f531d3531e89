"""Does PostgreSQL's own grammar find nothing in a statement but what may stand there? Default deny, message by message.

Every field of every message of the tree is visited, and one that is not on the list is refused: a checker that opens
only what it expects misses a function in FROM. On the way the tree becomes the one that is printed: each table gives
way to what stands for it, `claim(…)` to `sandbox.claim(…)`, and places in the text are wiped out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Never, cast, final

from sandbox.sql.dialects.postgres_functions import FUNCTIONS
from sandbox.sql.dialects.postgres_lexer import OPERATORS
from sandbox.sql.dialects.postgres_shapes import NODE, Shape, shapes
from sandbox.sql.dialects.postgres_types import TYPES

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message
    from postgast import pg_query_pb2 as pb

_VALUE_FUNCTIONS: Final[Mapping[str, str]] = {
    "SVFOP_CURRENT_DATE": "current_date",
    "SVFOP_CURRENT_TIME": "current_time",
    "SVFOP_CURRENT_TIME_N": "current_time",
    "SVFOP_CURRENT_TIMESTAMP": "current_timestamp",
    "SVFOP_CURRENT_TIMESTAMP_N": "current_timestamp",
    "SVFOP_LOCALTIME": "localtime",
    "SVFOP_LOCALTIME_N": "localtime",
    "SVFOP_LOCALTIMESTAMP": "localtimestamp",
    "SVFOP_LOCALTIMESTAMP_N": "localtimestamp",
}
"""Those that tell of roles and schemas are not among them."""
_SYNTAX: Final[Mapping[str, str]] = {
    "extract": "extract",
    "overlaps": "overlaps",
    "overlay": "overlay",
    "position": "position",
    "substring": "substring",
    "btrim": "trim",
    "ltrim": "trim",
    "rtrim": "trim",
    "timezone": "timezone",
    "like_escape": "",
    "similar_to_escape": "",
}
"""Functions that the grammar itself names, and how the gate calls them; empty: they belong to an operator."""
_CATALOGUE_SCHEMA: Final = "pg_catalog"
_LIKES: Final = frozenset(mark + operator for mark in ("", "!") for operator in ("~~", "~~*"))
_CLAIMS: Final = ["sandbox", "claim"]

COLLATIONS: Final = frozenset({'"C"', '"POSIX"', '"default"', '"ucs_basic"', '"unicode"', '"und-x-icu"', '"pg_c_utf8"'})
"""Collations of PostgreSQL itself, in the double quotes that their names need or may have."""
_TYPE_NAMES: Final = [[name] for name in TYPES]
_Ctes = frozenset[str]


class Unknown(Exception):
    """The tree holds something that may not stand in it."""

    def __init__(self, construct: str, at: int) -> None:
        """`construct` is what it is, `at` where it begins, in bytes of the text, if it says so."""
        super().__init__(construct)
        self.construct = construct
        self.at = at


@final
class Tree:
    """Walks one tree of the server's grammar, collects what it reads and calls, and makes it the tree to print."""

    __slots__ = (
        "_handlers",
        "_may_claim",
        "_nodes",
        "_shapes",
        "_stands_for",
        "functions",
        "has_empty_nodes",
        "relations",
    )

    def __init__(self, stands_for: Mapping[str, tuple[str, str]], *, may_claim: bool) -> None:
        """Begin with nothing read."""
        self._stands_for = stands_for
        self._may_claim = may_claim
        self._shapes, self._nodes = shapes()
        self.relations: set[str] = set()
        self.functions: set[str] = set()
        self.has_empty_nodes = False
        self._handlers: Mapping[str, Callable[[Never, _Ctes], None]] = {
            "RangeVar": self._table,
            "ColumnRef": self._column,
            "FuncCall": self._call,
            "A_Expr": self._operator,
            "TypeName": self._type,
            "SQLValueFunction": self._value_function,
            "SubLink": self._sub_link,
            "SortBy": self._sort,
            "CollateClause": self._collation,
            "CoalesceExpr": lambda _, __: self.functions.add("coalesce"),
            "MinMaxExpr": self._extreme,
            "GroupingFunc": lambda _, __: self.functions.add("grouping"),
        }

    def take(self, root: Message) -> None:
        """Visit the whole tree."""
        self._visit(root, self._shapes[root.DESCRIPTOR.name], frozenset())

    def _visit_node(self, node: Message, ctes: _Ctes) -> None:
        held = node.WhichOneof("node")
        if held is None:
            self.has_empty_nodes = True
            return
        message = getattr(node, held)
        shape = self._nodes.get(held)
        if shape is None:
            raise Unknown(message.DESCRIPTOR.name, getattr(message, "location", -1))
        self._visit(message, shape, ctes)

    def _visit(self, message: Message, shape: Shape, ctes: _Ctes) -> None:
        """Refuse a field that may not be set, wipe out places, and visit what is within."""
        handler = self._handlers.get(shape.name)
        if handler is not None:
            handler(cast("Never", message), ctes)
        elif shape.name == "SelectStmt":
            ctes = self._with(cast("pb.SelectStmt", message), ctes)
        place = _wiped(message, shape)
        if shape.is_plain:
            return
        for field, value in message.ListFields():
            number = field.number
            kind = shape.fields.get(number)
            if kind is None:
                raise Unknown(f"{shape.name}.{field.name}", place)
            if kind == "":
                continue
            for part in value if number in shape.repeated else (value,):
                if kind == NODE:
                    self._visit_node(part, ctes)
                else:
                    self._visit(part, self._shapes[kind], ctes)

    def _with(self, select: pb.SelectStmt, ctes: _Ctes) -> _Ctes:
        """Visit the WITH of a SELECT; returns the names that the rest of it sees."""
        if not select.HasField("with_clause"):
            return ctes
        clause = select.with_clause
        names = frozenset(node.common_table_expr.ctename for node in clause.ctes)
        for node in clause.ctes:
            cte = node.common_table_expr
            if not node.HasField("common_table_expr") or cte.ctename.startswith("pg_"):
                raise Unknown("WITH", clause.location)
            self._visit_node(node, ctes | names if clause.recursive else ctes)
            if not clause.recursive:
                ctes |= {cte.ctename}
        self._visit(clause, self._shapes["WithClause"], ctes)
        return ctes | names

    def _table(self, table: pb.RangeVar, ctes: _Ctes) -> None:
        """Put what stands for a table in its place, under the table's name."""
        if not table.inh or table.relpersistence != "p":
            raise Unknown("RangeVar", table.location)
        if not table.schemaname and table.relname in ctes:
            return
        schema = table.schemaname or "public"
        name = f"{schema}.{table.relname}"
        self.relations.add(name)
        if not table.HasField("alias"):
            table.alias.aliasname = table.relname
        if self._stands_for:
            if name not in self._stands_for:
                raise Unknown("RangeVar", table.location)
            schema, table.relname = self._stands_for[name]
        table.schemaname = schema

    def _column(self, column: pb.ColumnRef, _: _Ctes) -> None:
        parts = [node.WhichOneof("node") for node in column.fields]
        if parts[:1] != ["string"] and parts != ["a_star"]:
            raise Unknown("ColumnRef", column.location)
        if len(parts) > 2 or (len(parts) == 2 and parts[1] not in ("string", "a_star")):
            raise Unknown("ColumnRef", column.location)

    def _call(self, call: pb.FuncCall, _: _Ctes) -> None:
        names = [node.string.sval for node in call.funcname]
        if names == ["claim"] and self._may_claim:
            argument = call.args[0].a_const if len(call.args) == 1 else None
            if argument is None or not argument.HasField("sval") or call.agg_star or call.HasField("over"):
                raise Unknown("claim", call.location)
            del call.funcname[:]
            for part in _CLAIMS:
                call.funcname.add().string.sval = part
            self.functions.add("claim")
        elif len(names) == 1 and names[0] in FUNCTIONS and names[0] != "claim":
            self.functions.add(names[0])
        elif len(names) == 2 and names[0] == _CATALOGUE_SCHEMA and names[1] in _SYNTAX:
            self.functions.add(_SYNTAX[names[1]])
        else:
            raise Unknown(".".join(names), call.location)

    def _operator(self, expression: pb.A_Expr, _: _Ctes) -> None:
        names = [node.string.sval for node in expression.name]
        kind = _word(expression, "kind")
        is_likely = kind in ("AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_SIMILAR") or "BETWEEN" in kind
        if len(names) != 1 or not (names[0] in OPERATORS or is_likely or _is_any_like(kind, names[0])):
            raise Unknown(".".join(names), expression.location)
        if names == ["@"] and expression.HasField("lexpr"):  # between two values it would be another operator
            raise Unknown("@", expression.location)
        if kind == "AEXPR_NULLIF":
            self.functions.add("nullif")

    def _type(self, type_name: pb.TypeName, _: _Ctes) -> None:
        names = [node.string.sval for node in type_name.names]
        if names[-1:] not in _TYPE_NAMES or names[:-1] not in ([], [_CATALOGUE_SCHEMA]):
            raise Unknown(".".join(names), type_name.location)

    def _value_function(self, function: pb.SQLValueFunction, _: _Ctes) -> None:
        op = _word(function, "op")
        if op not in _VALUE_FUNCTIONS:
            raise Unknown(op.removeprefix("SVFOP_"), function.location)
        self.functions.add(_VALUE_FUNCTIONS[op])

    def _sub_link(self, link: pb.SubLink, _: _Ctes) -> None:
        if [node.string.sval for node in link.oper_name if node.string.sval not in OPERATORS | _LIKES]:
            raise Unknown("SubLink", link.location)

    def _sort(self, sort: pb.SortBy, _: _Ctes) -> None:
        if [node.string.sval for node in sort.use_op] not in ([], ["<"], [">"]):
            raise Unknown("USING", sort.location)

    def _collation(self, clause: pb.CollateClause, _: _Ctes) -> None:
        if [node.string.sval for node in clause.collname] not in [[name.strip('"')] for name in COLLATIONS]:
            raise Unknown("COLLATE", clause.location)

    def _extreme(self, extreme: pb.MinMaxExpr, _: _Ctes) -> None:
        name = _word(extreme, "op")
        self.functions.add("greatest" if name == "IS_GREATEST" else "least")


def _word(message: Message, field: str) -> str:
    """Return the name of an enumerated value."""
    return _words(message.DESCRIPTOR, field)[getattr(message, field)]


@cache
def _words(kind: Descriptor, field: str) -> Mapping[int, str]:
    values = kind.fields_by_name[field].enum_type
    return {value.number: value.name for value in values.values} if values is not None else {}


def _is_any_like(kind: str, name: str) -> bool:
    """`LIKE ANY (…)` is the operator itself."""
    return kind in ("AEXPR_OP_ANY", "AEXPR_OP_ALL") and name in _LIKES


def _wiped(message: Message, shape: Shape) -> int:
    """Wipe the places out of a message; returns where it begins, if it said so."""
    place = -1
    for name in shape.places:
        if name == "location":
            place = getattr(message, name)
        message.ClearField(name)
    return place
