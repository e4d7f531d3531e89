"""Which of PostgreSQL's own functions may a tool's login call? No VOLATILE one but those named here, with a reason.

PostgreSQL lets PUBLIC execute nearly all of `pg_catalog`, and a read-only transaction does not stop what is no write to
a table: locks, notices, large objects, dropped replication slots. What a later version adds is revoked until it is
named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_CHANCE: Final = "a random value; touches nothing"
_SEQUENCE: Final = "needs a right on the sequence, which no tool's login has; every application calls it"

KEPT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "array_sample": _CHANCE,
        "array_shuffle": _CHANCE,
        "gen_random_uuid": _CHANCE,
        "random": _CHANCE,
        "random_normal": _CHANCE,
        "setseed": "seeds this session's `random`; touches nothing else",
        "uuidv4": _CHANCE,
        "uuidv7": _CHANCE,
        "clock_timestamp": "the time",
        "timeofday": "the time",
        "current_query": "the text of the caller's own statement",
        "currval": _SEQUENCE,
        "lastval": _SEQUENCE,
        "nextval": _SEQUENCE,
        "setval": _SEQUENCE,
        "pg_is_in_recovery": "yes or no, which drivers ask to find a primary",
        "plpgsql_validator": "checks a function's body at `CREATE FUNCTION`, which needs a schema to create it in",
        "amvalidate": "checks an operator class that is there already; touches nothing",
        "set_config": "tells the service's claims to a transaction; can set nothing that `SET` could not",
    }
)
"""VOLATILE functions of `pg_catalog` that PUBLIC keeps, by name, and why."""

TAKEN_TOO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pg_stat_get_activity": "shows what other callers of the same tool ask",
        "pg_stat_get_backend_activity": "shows what other callers of the same tool ask",
        "pg_prepared_statement": "shows what earlier callers asked in a session that is used again",
        "pg_cursor": "shows what earlier callers asked in a session that is used again",
        "pg_current_xact_id": "takes a transaction number, which a standby and a read-only session must not",
        "txid_current": "takes a transaction number, which a standby and a read-only session must not",
        "table_to_xml": "runs a query made from a text",
        "table_to_xmlschema": "runs a query made from a text",
        "table_to_xml_and_xmlschema": "runs a query made from a text",
        "schema_to_xml": "runs queries made from a text",
        "schema_to_xmlschema": "runs queries made from a text",
        "schema_to_xml_and_xmlschema": "runs queries made from a text",
        "database_to_xml": "runs queries over every table",
        "database_to_xmlschema": "runs queries over every table",
        "database_to_xml_and_xmlschema": "runs queries over every table",
    }
)
"""Functions that are not VOLATILE and are taken from PUBLIC all the same, by name, and why."""


def _names(names: Mapping[str, str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


EXECUTABLE: Final = f"""
SELECT p.oid FROM pg_catalog.pg_proc AS p
WHERE p.pronamespace = 'pg_catalog'::regnamespace
  AND (p.provolatile = 'v' AND p.proname <> ALL ('{_names(KEPT)}'::name[])
    OR p.proname = ANY ('{_names(TAKEN_TOO)}'::name[]))
  AND p.prorettype <> ALL ('{{internal,trigger,event_trigger,language_handler}}'::regtype[])
  AND 'internal'::regtype <> ALL (p.proargtypes)
  AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')
""".strip()
"""Selects the functions that PUBLIC may execute and should not. What takes or returns `internal`, or is a trigger or a
language's handler, cannot be called from SQL."""
