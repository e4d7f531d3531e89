"""Can this SQL only read what it may read? The gate: text in, proven text and rights out. Pure: no I/O.

Layers: bound → lex → parse → prove (`rules/`, in the order of `RULES`) → shape. Engines differ in `dialects/`.
"""

from sandbox.sql.catalogue import Catalogue, ColumnShape, TableShape, folded
from sandbox.sql.gate import Bounds, GateInput, Proven, prove, prove_filter

__all__ = ["Bounds", "Catalogue", "ColumnShape", "GateInput", "Proven", "TableShape", "folded", "prove", "prove_filter"]
