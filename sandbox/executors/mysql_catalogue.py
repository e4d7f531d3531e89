"""Which tables and columns does a MariaDB database have? As the login of the connection's dsn sees the catalogue.

Tables are called by their plain names. What would need backticks to be named (blanks, dots, other letters) is left out,
and so are tables whose names differ only in case, so that no two names can be taken for one another.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from sandbox.executors.mysql_talk import Talk
from sandbox.sql import Catalogue, ColumnShape, TableShape, folded
from sandbox.toolspec import Digest

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_KINDS: Final = frozenset({"BASE TABLE", "SYSTEM VERSIONED", "VIEW"})
_TABLES: Final = """
SELECT t.TABLE_NAME, t.TABLE_TYPE, c.COLUMN_NAME, c.COLUMN_TYPE
  FROM information_schema.TABLES AS t
  LEFT JOIN information_schema.COLUMNS AS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
 WHERE t.TABLE_SCHEMA = DATABASE()
 ORDER BY CAST(t.TABLE_NAME AS BINARY), c.ORDINAL_POSITION
"""


def read_mysql_catalogue(talk: Talk) -> Catalogue:
    """Read the catalogue of the database that `talk` is logged in to; raises as `Talk.ask` does."""
    talk.ask("SET NAMES utf8mb4")
    return catalogue_of(talk.ask(_TABLES))


def catalogue_of(rows: Sequence[tuple[str | None, ...]]) -> Catalogue:
    """Return the catalogue that rows of table, kind, column and type make; they come in that order."""
    found: list[TableShape] = []
    for (table, kind), columns in groupby(rows, key=lambda row: (str(row[0]), str(row[1]))):
        if kind not in _KINDS or not _PLAIN.fullmatch(table):
            continue
        shapes = tuple(
            ColumnShape(str(column), str(declared))
            for *_, column, declared in columns
            if column is not None and _PLAIN.fullmatch(column)
        )
        found.append(TableShape(table, shapes, "view" if kind == "VIEW" else "table", has_rowid=False))
    named = Counter(folded(shape.name) for shape in found)
    tables = {folded(shape.name): shape for shape in found if named[folded(shape.name)] == 1}
    facts = repr([(shape.name, shape.kind, shape.columns) for shape in tables.values()])
    return Catalogue(tables, Digest(hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()))
