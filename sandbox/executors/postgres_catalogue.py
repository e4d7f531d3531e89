"""Which tables and columns does a PostgreSQL database have? As the login of the connection's dsn sees the catalogue.

Tables are called `schema.table`. What would need quotes to be named (capitals, blanks, dots, other letters) is left
out, so that no two names can be taken for one another; so are the system's schemas and our own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from sandbox.executors.postgres_talk import Talk
from sandbox.sql import Catalogue, ColumnShape, TableShape
from sandbox.toolspec import Digest
from sandbox.values import Row

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_$]*")
_VIEWS: Final = frozenset({"v", "m"})

_TABLES: Final = rb"""
SELECT n.nspname::text, c.relname::text, c.relkind::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
   AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'sandbox%'
 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", a.attnum
"""


def read_server_catalogue(talk: Talk) -> Catalogue:
    """Read the catalogue of the database that `talk` is logged in to; raises as `Talk.ask` does."""
    return catalogue_of(talk.ask(_TABLES))


def catalogue_of(rows: Sequence[Row]) -> Catalogue:
    """Return the catalogue that rows of schema, table, kind, column and type make; they come in that order."""
    tables: dict[str, TableShape] = {}
    for (schema, table, kind), columns in groupby(rows, key=lambda row: (str(row[0]), str(row[1]), str(row[2]))):
        if not (_PLAIN.fullmatch(schema) and _PLAIN.fullmatch(table)):
            continue
        shapes = tuple(
            ColumnShape(str(column), str(declared))
            for *_, column, declared in columns
            if column is not None and _PLAIN.fullmatch(str(column))
        )
        name = f"{schema}.{table}"
        tables[name] = TableShape(name, shapes, "view" if kind in _VIEWS else "table", has_rowid=False)
    facts = repr([(shape.name, shape.kind, shape.columns) for shape in tables.values()])
    return Catalogue(tables, Digest(hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()))
