"""Which functions does the script put into a MariaDB server? Their bodies and rights, for script and checks alike.

Every one runs as the views' owner, whom nobody can log in as; what it reads is named with its database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, final

from sandbox.doctor.mysql_views import account, quoted_text
from sandbox.executors.grant_shape import GrantShape
from sandbox.executors.mysql import KEY
from sandbox.executors.mysql_shape import CLAIM, KINDS, SETTING, own_database, quoted_name, views_owner

LOOK: Final = "look"
"""The function that tells the doctor what the views' owner owns and may do."""
MAX_AGE_S: Final = 120
"""How old a signature may be: longer than a statement waits between being told its claims and asking for them."""

_CLAIM: Final = """
BEGIN
  DECLARE said LONGTEXT CHARACTER SET utf8mb4 DEFAULT @{setting};
  DECLARE told LONGTEXT CHARACTER SET utf8mb4 DEFAULT SUBSTRING_INDEX(said, '.', 1);
  DECLARE issued LONGTEXT CHARACTER SET utf8mb4 DEFAULT SUBSTRING_INDEX(SUBSTRING_INDEX(said, '.', 2), '.', -1);
  DECLARE expected VARCHAR(64) CHARACTER SET utf8mb4;
  SELECT SHA2(CONCAT(k.outer_key, UNHEX(SHA2(CONCAT(k.inner_key,
      CONCAT_WS('.', CONNECTION_ID(), issued, told)), 256))), 256) INTO expected
    FROM {own}.claims_key AS k;
  IF said IS NULL OR expected IS NULL OR BINARY said <> BINARY CONCAT_WS('.', told, issued, expected)
      OR ABS(UNIX_TIMESTAMP(SYSDATE()) - issued) > {seconds} THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'sandbox: no claims were told to this session by the service';
  END IF;
  RETURN JSON_VALUE(CONVERT(FROM_BASE64(told) USING utf8mb4), CONCAT('$."', name, '"'));
END
""".strip()
_KEY: Final = "RETURN (SELECT CONCAT(k.inner_key, k.outer_key) FROM {own}.claims_key AS k)"
_LOOK: Final = """
RETURN JSON_OBJECT(
  'views', (SELECT JSON_ARRAYAGG(JSON_ARRAY(v.TABLE_SCHEMA, v.TABLE_NAME, v.DEFINER, v.SECURITY_TYPE,
      SHA2(v.VIEW_DEFINITION, 256))) FROM information_schema.VIEWS AS v WHERE LEFT(v.TABLE_SCHEMA, 8) = 'sandbox_'),
  'noted', (SELECT JSON_ARRAYAGG(JSON_ARRAY(n.shape, n.name, n.source, n.definition)) FROM {own}.noted AS n),
  'functions', (SELECT JSON_ARRAYAGG(JSON_ARRAY(r.ROUTINE_SCHEMA, r.ROUTINE_NAME, r.DEFINER, r.SECURITY_TYPE,
      SHA2(r.ROUTINE_DEFINITION, 256))) FROM information_schema.ROUTINES AS r
    WHERE LEFT(r.ROUTINE_SCHEMA, 8) = 'sandbox_'),
  'columns', (SELECT JSON_ARRAYAGG(JSON_ARRAY(p.TABLE_SCHEMA, p.TABLE_NAME, p.COLUMN_NAME, p.PRIVILEGE_TYPE))
    FROM information_schema.COLUMN_PRIVILEGES AS p),
  'tables', (SELECT JSON_ARRAYAGG(JSON_ARRAY(p.TABLE_SCHEMA, p.TABLE_NAME, p.PRIVILEGE_TYPE))
    FROM information_schema.TABLE_PRIVILEGES AS p),
  'schemas', (SELECT JSON_ARRAYAGG(JSON_ARRAY(p.TABLE_SCHEMA, p.PRIVILEGE_TYPE))
    FROM information_schema.SCHEMA_PRIVILEGES AS p),
  'everywhere', (SELECT JSON_ARRAYAGG(p.PRIVILEGE_TYPE) FROM information_schema.USER_PRIVILEGES AS p))
""".strip()


@final
@dataclass(frozen=True, slots=True)
class Function:
    """One function."""

    schema: str
    name: str
    arguments: str
    returns: str
    is_deterministic: bool
    """Evaluated once a statement, with the same arguments: an index may be used then."""
    body: str
    definer: str

    @property
    def digest(self) -> str:
        """SHA-256 of the body, as the server keeps it."""
        return hashlib.sha256(self.body.encode()).hexdigest()

    def create(self) -> str:
        """Return the statement that makes it, or makes it what it should be, within `DELIMITER $$`."""
        return (
            f"CREATE OR REPLACE DEFINER = {account(self.definer, 'localhost')}\n"
            f"  FUNCTION {quoted_name(self.schema)}.{quoted_name(self.name)}({self.arguments})\n"
            f"  RETURNS {self.returns}\n"
            f"  {'' if self.is_deterministic else 'NOT '}DETERMINISTIC READS SQL DATA SQL SECURITY DEFINER\n"
            f"{self.body}$$"
        )


def functions_of_shape(connection: str, database: str, shape: GrantShape) -> tuple[Function, ...]:
    """Return the functions of a shape's database."""
    owner = views_owner(connection)
    own = quoted_name(own_database(connection))
    claim = _CLAIM.format(setting=SETTING, own=own, seconds=MAX_AGE_S)
    kinds = _kinds(database, (shape.rules[name].table for name in sorted(shape.rules)))
    name = "name VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    text = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    return (
        Function(shape.schema, CLAIM, name, text, is_deterministic=True, body=claim, definer=owner),
        Function(shape.schema, KINDS, "", "LONGTEXT", is_deterministic=False, body=kinds, definer=owner),
    )


def own_functions(connection: str) -> tuple[Function, ...]:
    """Return the functions that the login for claims alone may call."""
    owner, own = views_owner(connection), own_database(connection)
    key, look = (body.format(own=quoted_name(own)) for body in (_KEY, _LOOK))
    return (
        Function(own, KEY, "", "VARBINARY(128)", is_deterministic=False, body=key, definer=owner),
        Function(own, LOOK, "", "LONGTEXT", is_deterministic=False, body=look, definer=owner),
    )


def _kinds(database: str, tables: Iterable[str]) -> str:
    asked = [
        "(SELECT IF(t.TABLE_TYPE = 'VIEW', 'view', IF(t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED'), 'table',"
        " NULL)) FROM information_schema.TABLES AS t"
        f" WHERE t.TABLE_SCHEMA = {quoted_text(database)} AND t.TABLE_NAME = {quoted_text(table)})"
        for table in tables
    ]
    told = ",\n  ".join(asked) or "NULL"
    return f"RETURN CONCAT_WS(',', {told})"
