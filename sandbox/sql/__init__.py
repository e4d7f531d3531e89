"""Can this SQL only read what it may read? The gate: text in, proven text and rights out. Pure: no I/O.

Layers: bound → lex → parse → prove (`rules/`, in the order of `RULES`) → shape. Engines differ in `dialects/`.
"""

from sandbox.sql.catalogue import Catalogue, ColumnShape, TableShape, ceiling_rules, folded
from sandbox.sql.contract import GateInput, Proven
from sandbox.sql.effort import MAX_COLUMNS
from sandbox.sql.filters import prove_filter
from sandbox.sql.gate import prove

__all__ = [
    "MAX_COLUMNS",
    "Catalogue",
    "ColumnShape",
    "GateInput",
    "Proven",
    "TableShape",
    "ceiling_rules",
    "folded",
    "prove",
    "prove_filter",
]
