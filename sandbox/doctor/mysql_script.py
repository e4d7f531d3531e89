"""What does the administrator run so that tools can read a MariaDB database? One text for MariaDB's own client.

Pure: from names, rules, a key and the catalogue to a text. It holds no secret, and is the same whenever it is made.
Idempotent; MariaDB has no transactions over such statements, so a run that breaks off is run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sandbox.doctor.mysql_functions import Function, functions_of_shape, own_functions
from sandbox.doctor.mysql_views import View, account, grants_of, mysql_views, quoted_text
from sandbox.doctor.quoting import commented
from sandbox.executors.grant_shape import GrantShape
from sandbox.executors.mysql_shape import own_database, quoted_name, views_owner
from sandbox.executors.mysql_talk import SQL_MODE
from sandbox.leases.keys import claims_login
from sandbox.leases.mysql_logins import native_verifier
from sandbox.sql import Catalogue

MAX_CONNECTIONS: Final = 64
"""Sessions of one login: more than all workers of a service keep together, and fewer than would fill a server."""
_RULE: Final = "-- " + "-" * 77
_BEGIN: Final = f"""
SET NAMES utf8mb4;
SET SESSION sql_mode = '{SQL_MODE}';
SET SESSION lock_wait_timeout = 15;
SET SESSION sql_select_limit = DEFAULT;
""".strip()
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS claims_key (
  is_only TINYINT NOT NULL PRIMARY KEY CHECK (is_only = 1),
  inner_key BINARY(64) NOT NULL,
  outer_key BINARY(64) NOT NULL
) ENGINE = InnoDB;
INSERT INTO claims_key (is_only, inner_key, outer_key)
  SELECT 1, RANDOM_BYTES(64), RANDOM_BYTES(64) FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM claims_key);
CREATE TABLE IF NOT EXISTS shapes (name VARCHAR(64) NOT NULL PRIMARY KEY) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS noted (
  shape VARCHAR(64) NOT NULL, name VARCHAR(64) NOT NULL, source CHAR(64) NOT NULL, definition CHAR(64) NOT NULL,
  PRIMARY KEY (shape, name)
) ENGINE = InnoDB;
CREATE OR REPLACE TABLE canary (tenant VARCHAR(64) NOT NULL, note VARCHAR(64) NOT NULL) ENGINE = InnoDB;
INSERT INTO canary VALUES ('mine', 'may be seen'), ('theirs', 'may not be seen');
""".strip()


def mysql_setup_script(  # noqa: PLR0913 - a connection, and what its tools need of it
    connection: str,
    database: str,
    shapes: Iterable[GrantShape],
    lease_key: bytes,
    catalogue: Catalogue,
    *,
    tools: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return the script for the grant shapes of one connection; `tools` names, by shape id, who uses each.

    Raises `Misconfigured` if a shape names what the catalogue does not have.
    """
    shapes = sorted({shape.id: shape for shape in shapes}.values(), key=lambda shape: shape.id)
    views = {shape.id: mysql_views(connection, database, shape, catalogue) for shape in shapes}
    used, own = tools or {}, quoted_name(own_database(connection))
    every = tuple(view for shape in shapes for view in views[shape.id])
    sections = [
        _header(connection, database, shapes, used),
        _BEGIN,
        _section(
            "A database of our own: the key of the claims, which the server makes itself, and the canary",
            f"CREATE DATABASE IF NOT EXISTS {own} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\nUSE {own};\n{_TABLES}",
        ),
        _section(
            "The owner of the views, as which nobody can log in, made anew with exactly the rights that views need",
            _owner(connection, database, shapes, every),
        ),
        _section("Databases and logins of grant shapes that no tool uses any more", _outdated(shapes)),
        _functions(own_functions(connection)),
        *(_shape(connection, database, shape, views[shape.id], used.get(shape.id, ())) for shape in shapes),
        _section("The logins, made anew with their rights and nothing else", _logins(connection, lease_key, shapes)),
        _section("What the views became is noted: `sandbox doctor` sees when one is changed", _noted(own, every)),
    ]
    return "\n\n".join(sections) + "\n"


def mysql_undo_script(connection: str) -> str:
    """Return the script that takes back everything a set-up script did, whatever the rules were then."""
    own, owner = own_database(connection), account(views_owner(connection), "localhost")
    is_there = f"SELECT 1 FROM information_schema.SCHEMATA AS s WHERE s.SCHEMA_NAME = {quoted_text(own)}"
    block = f"""
DELIMITER $$
BEGIN NOT ATOMIC
  IF EXISTS ({is_there}) THEN
    FOR one IN (SELECT s.name FROM {quoted_name(own)}.shapes AS s WHERE {_IS_OURS}) DO
{_DROP}
    END FOR;
  END IF;
END$$
DELIMITER ;
DROP DATABASE IF EXISTS {quoted_name(own)};
DROP USER IF EXISTS {account(claims_login(connection), "%")};
DROP USER IF EXISTS {owner};
""".strip()
    header = (
        f"Takes back all that was set up for the connection `{connection}` of the sandbox; run it as the administrator."
    )
    return "\n\n".join([f"-- {commented(header)}", _BEGIN, block]) + "\n"


def _header(connection: str, database: str, shapes: Sequence[GrantShape], tools: Mapping[str, Sequence[str]]) -> str:
    lines = [
        f"Sets up the server for the sandbox's connection `{connection}`, and brings an earlier set-up up to date.",
        f"What tools read lies in the database `{database}`, in which nothing is made or changed.",
        "",
        *(f"  {shape.login}: {_reads(shape)}{_used_by(tools.get(shape.id, ()))}" for shape in shapes),
        "",
        "What it makes: for each line above a database of that name, with a view for each table, and a login of that",
        "name, which may read these views and call the functions beside them, and nothing else; the database",
        f"{own_database(connection)} with the key of the claims; the login {claims_login(connection)}, which may ask",
        f"for that key; the account {views_owner(connection)}, as which nobody can log in and which may read exactly",
        "the columns that the views read. It contains no password, only verifiers.",
        "",
        "Run it with the client `mariadb`, as an administrator who may make databases and accounts, grant SELECT on",
        "the tables, and make views of another definer (SET USER). Run again, it changes nothing. It is no",
        "transaction: if it breaks off, run it again. `sandbox doctor` then proves that everything is so;",
        "`--setup-sql CONNECTION --undo` prints the way back.",
    ]
    return "\n".join(f"-- {commented(line)}".rstrip() for line in lines)


def _reads(shape: GrantShape) -> str:
    return ", ".join(shape.rules[name].table for name in sorted(shape.rules)) or "no table"


def _used_by(tools: Sequence[str]) -> str:
    return f" ({', '.join(tools)})" if tools else ""


def _section(title: str, text: str) -> str:
    return f"{_RULE}\n-- {title}.\n{_RULE}\n{text}"


def _owner(connection: str, database: str, shapes: Sequence[GrantShape], views: tuple[View, ...]) -> str:
    owner, own = account(views_owner(connection), "localhost"), own_database(connection)
    lines = [
        f"CREATE OR REPLACE USER {owner} IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK;",
        f"GRANT SELECT, EXECUTE ON {pattern(own)}.* TO {owner};",
        *(f"GRANT SELECT, SHOW VIEW, EXECUTE ON {pattern(shape.schema)}.* TO {owner};" for shape in shapes),
    ]
    for table, columns in grants_of(views).items():
        named = ", ".join(map(quoted_name, columns))
        lines.append(f"GRANT SELECT ({named}) ON {quoted_name(database)}.{quoted_name(table)} TO {owner};")
    return "\n".join(lines)


_IS_OURS: Final = "s.name REGEXP '^sandbox_[0-9a-f]{12}$'"
_DROP: Final = """
      EXECUTE IMMEDIATE CONCAT('DROP DATABASE IF EXISTS `', one.name, '`');
      EXECUTE IMMEDIATE CONCAT('DROP USER IF EXISTS `', one.name, '`@`%`');
""".strip("\n")


def _outdated(shapes: Sequence[GrantShape]) -> str:
    kept = "".join(f" AND s.name <> {quoted_text(shape.schema)}" for shape in shapes)
    return f"""
DELIMITER $$
BEGIN NOT ATOMIC
    FOR one IN (SELECT s.name FROM shapes AS s WHERE {_IS_OURS}{kept}) DO
{_DROP}
      DELETE FROM shapes WHERE name = one.name;
    END FOR;
END$$
DELIMITER ;
""".strip()


def _functions(functions: Iterable[Function]) -> str:
    return "\n".join(["DELIMITER $$", *(function.create() for function in functions), "DELIMITER ;"])


def _shape(connection: str, database: str, shape: GrantShape, views: Sequence[View], tools: Sequence[str]) -> str:
    name = quoted_name(shape.schema)
    lines = [
        f"INSERT IGNORE INTO {quoted_name(own_database(connection))}.shapes VALUES ({quoted_text(shape.schema)});",
        f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4;",
        f"USE {name};",
        _functions(functions_of_shape(connection, database, shape)),
        *(view.create for view in views),
    ]
    return _section(commented(f"Views of {shape.login}{_used_by(tools)}"), "\n".join(lines))


def _logins(connection: str, key: bytes, shapes: Sequence[GrantShape]) -> str:
    asks, own = account(claims_login(connection), "%"), own_database(connection)
    lines = [
        _login(connection, claims_login(connection), key),
        *(
            f"GRANT EXECUTE ON FUNCTION {quoted_name(own)}.{quoted_name(f.name)} TO {asks};"
            for f in own_functions(connection)
        ),
    ]
    for shape in shapes:
        lines.append(_login(connection, shape.login, key))
        lines.append(f"GRANT SELECT, EXECUTE ON {pattern(shape.schema)}.* TO {account(shape.login, '%')};")
    return "\n".join(lines)


def _login(connection: str, login: str, key: bytes) -> str:
    verifier = quoted_text(native_verifier(key, connection, login))
    return (
        f"CREATE OR REPLACE USER {account(login, '%')} IDENTIFIED VIA mysql_native_password USING {verifier}"
        f" WITH MAX_USER_CONNECTIONS {MAX_CONNECTIONS};"
    )


def _noted(own: str, views: Sequence[View]) -> str:
    lines = [f"USE {own};", "DELETE FROM noted;"]
    lines += [
        f"INSERT INTO noted SELECT v.TABLE_SCHEMA, v.TABLE_NAME, '{view.source_digest}', SHA2(v.VIEW_DEFINITION, 256)\n"
        f"  FROM information_schema.VIEWS AS v WHERE v.TABLE_SCHEMA = {quoted_text(view.schema)}"
        f" AND v.TABLE_NAME = {quoted_text(view.name)};"
        for view in views
    ]
    return "\n".join(lines)


def pattern(database: str) -> str:
    """Return a database in a GRANT, where `_` and `%` mean any character unless they are escaped."""
    return quoted_name(database.replace("_", "\\_").replace("%", "\\%"))
