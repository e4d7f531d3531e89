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

TABLES: Final = rb"""
SELECT n.nspname::text, c.relname::text, c.relkind::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
       (a.attnum = ANY (i.indkey))::int
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate
       AND NOT (c.relkind = 'r' AND c.relhassubclass)
 WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
   AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'sandbox%'
 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", a.attnum
"""


def read_server_catalogue(talk: Talk) -> Catalogue:
    """Read the catalogue of the database that `talk` is logged in to; raises as `Talk.ask` does."""
    return catalogue_of(talk.ask(TABLES))


def catalogue_of(rows: Sequence[Row]) -> Catalogue:
    """Return the catalogue that rows make of schema, table, kind, column, type, and whether it is of the key."""
    tables: dict[str, TableShape] = {}
    for (schema, table, kind), columns in groupby(rows, key=lambda row: (str(row[0]), str(row[1]), str(row[2]))):
        if not (_PLAIN.fullmatch(schema) and _PLAIN.fullmatch(table)):
            continue
        found = [(str(column), str(declared), bool(is_key)) for *_, column, declared, is_key in columns if column]
        plain = [column for column in found if _PLAIN.fullmatch(column[0])]
        key = tuple(column for column, _, is_key in found if is_key)
        name = f"{schema}.{table}"
        tables[name] = TableShape(
            name,
            tuple(ColumnShape(column, declared) for column, declared, _ in plain),
            "view" if kind in _VIEWS else "table",
            has_rowid=False,
            key=key if all(map(_PLAIN.fullmatch, key)) else (),
        )
    facts = repr([(shape.name, shape.kind, shape.columns, shape.key) for shape in tables.values()])
    return Catalogue(tables, Digest(hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()))
