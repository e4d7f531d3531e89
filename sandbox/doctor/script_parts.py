"""What does each section of the administrator's scripts say? SQL that a database administrator can read and judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sandbox.doctor.functions import Function
from sandbox.doctor.quoting import commented, quoted_name, quoted_text
from sandbox.doctor.roles import COMMENT, FORMER_PUBLIC, OWNER, SHAPE, VIEWS_OWNER
from sandbox.doctor.views import View
from sandbox.executors.grant_shape import GrantShape
from sandbox.leases.keys import claims_login

_SHAPES: Final = quoted_text(f"^{SHAPE.pattern}$")

BEGIN: Final = """
BEGIN;
SET LOCAL search_path = pg_catalog;
SET LOCAL standard_conforming_strings = on;
SET LOCAL quote_all_identifiers = off;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL lock_timeout = '15s';
SET LOCAL client_min_messages = warning;  -- not each object that is dropped to be made anew
""".strip()


def do(body: str) -> str:
    """Return an anonymous block."""
    return f"DO $sandbox$\n{body.strip()}\n$sandbox$;"


def header(connection: str, shapes: Sequence[GrantShape], tools: Mapping[str, Sequence[str]]) -> str:
    """Say to the administrator what the script does, for which tools, and to whom else it matters."""
    lines = [
        f"Sets up this database for the sandbox's connection `{connection}`, and brings an earlier set-up up to date.",
        "",
        *(f"  {shape.login}: {_reads(shape)}{_used_by(tools.get(shape.id, ()))}" for shape in shapes),
        "",
        "What it makes: one login for each line above, which may read the views in the schema of its own name and",
        f"nothing else; the login {claims_login(connection)}, which may ask for the key that claims are signed",
        f"with; the roles {OWNER}, {VIEWS_OWNER} and {FORMER_PUBLIC}, as which nobody can log in; the schema",
        "`sandbox`.",
        "It contains no password, only verifiers, and it is the same text at every run while specs and key stay.",
        "",
        "WHOM ELSE IT MATTERS TO. In this database it takes from PUBLIC: EXECUTE on PostgreSQL's own functions with",
        "side effects (advisory locks, large objects, notices, sleeping, signals to other sessions and the like),",
        "CREATE on the schema `public`, and TEMPORARY tables. Every role that exists when the script takes a right",
        f"keeps it, as a member of {FORMER_PUBLIC}. A role made later lacks these rights until you say",
        f"`GRANT {FORMER_PUBLIC} TO that_role`. Nothing is taken that was granted to a role by name.",
        "",
        "Run it as a superuser. The owner of the database with CREATEROLE and the right to grant SELECT on the tables",
        "can run it too, but cannot take functions from PUBLIC, and is told so. It is one transaction: all or nothing.",
        "`sandbox doctor` then proves that everything is so; `--setup-sql CONNECTION --undo` prints the way back.",
    ]
    return "\n".join(f"-- {commented(line)}".rstrip() for line in lines)


def _reads(shape: GrantShape) -> str:
    return ", ".join(shape.rules[name].table for name in sorted(shape.rules)) or "no table"


def _used_by(tools: Sequence[str]) -> str:
    return f" ({', '.join(tools)})" if tools else ""


def claimed_by(connection: str) -> str:
    """Refuse a database that is set up for another connection, whose logins would be lost here."""
    comment = quoted_text(COMMENT.format(connection))
    return do(f"""
DECLARE
  said text;
BEGIN
  IF to_regnamespace('sandbox') IS NOT NULL THEN
    said := coalesce(obj_description(to_regnamespace('sandbox'), 'pg_namespace'), 'not ours');
    IF said <> {comment} THEN
      RAISE EXCEPTION 'this database has a schema `sandbox` already: %', said
        USING HINT = 'one connection a database: undo the other one first';
    END IF;
  END IF;
  IF current_setting('server_encoding') <> 'UTF8' THEN
    RAISE EXCEPTION 'this database is encoded as %; the sandbox reads UTF8', current_setting('server_encoding');
  END IF;
END
""")


_SCHEMA: Final = (
    """
CREATE SCHEMA IF NOT EXISTS sandbox;
ALTER SCHEMA sandbox OWNER TO sandbox_owner;
REVOKE ALL ON SCHEMA sandbox FROM PUBLIC;
CREATE TABLE IF NOT EXISTS sandbox.claims_key (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  key bytea NOT NULL,
  inner_pad bytea NOT NULL,
  outer_pad bytea NOT NULL
);
COMMENT ON TABLE sandbox.claims_key IS 'The key that claims are signed with; with the pads of HMAC (RFC 2104) applied.';
ALTER TABLE sandbox.claims_key OWNER TO sandbox_owner;
REVOKE ALL ON sandbox.claims_key FROM PUBLIC;
CREATE TABLE IF NOT EXISTS sandbox.revoked (
  kind text, object text, privilege text,
  PRIMARY KEY (kind, object, privilege)
);
COMMENT ON TABLE sandbox.revoked IS 'What PUBLIC had when the sandbox was set up; the undo script gives it back.';
ALTER TABLE sandbox.revoked OWNER TO sandbox_owner;
REVOKE ALL ON sandbox.revoked FROM PUBLIC;
""".strip()
    + "\n"
    + do("""
DECLARE
  kept bytea := (SELECT k.key FROM sandbox.claims_key AS k WHERE length(k.key) = 32);
  key bytea := coalesce(kept,
    sha256(convert_to(concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid()), 'UTF8')));
  inner_pad bytea := decode(repeat('36', 64), 'hex');
  outer_pad bytea := decode(repeat('5c', 64), 'hex');
BEGIN
  FOR i IN 0 .. length(key) - 1 LOOP
    inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(key, i));
    outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(key, i));
  END LOOP;
  DELETE FROM sandbox.claims_key;
  INSERT INTO sandbox.claims_key (key, inner_pad, outer_pad) VALUES (key, inner_pad, outer_pad);
END
""")
)


def schema(connection: str) -> str:
    """Make our schema, with the key that the database makes itself."""
    return f"{_SCHEMA}\nCOMMENT ON SCHEMA sandbox IS {quoted_text(COMMENT.format(connection))};"


def function(made: Function) -> str:
    """Make one of our functions, owned by nobody who logs in and executable by nobody yet."""
    return "\n".join(
        [
            made.create(),
            f"COMMENT ON FUNCTION {made.signature} IS {quoted_text(made.purpose)};",
            f"ALTER FUNCTION {made.signature} OWNER TO {OWNER};",
            f"REVOKE ALL ON FUNCTION {made.signature} FROM PUBLIC;",
        ]
    )


CANARY: Final = """
DROP VIEW IF EXISTS sandbox.canary_view;
DROP TABLE IF EXISTS sandbox.canary;
CREATE TABLE sandbox.canary (tenant text, note text);
INSERT INTO sandbox.canary VALUES ('mine', 'may be seen'), ('theirs', 'may not be seen');
ALTER TABLE sandbox.canary OWNER TO sandbox_owner;
REVOKE ALL ON sandbox.canary FROM PUBLIC;
GRANT SELECT (tenant, note) ON sandbox.canary TO sandbox_views;
CREATE VIEW sandbox.canary_view WITH (security_barrier) AS
  SELECT note FROM sandbox.canary WHERE tenant = (SELECT sandbox.claim('canary'));
GRANT CREATE ON SCHEMA sandbox TO sandbox_views;
ALTER VIEW sandbox.canary_view OWNER TO sandbox_views;
REVOKE CREATE ON SCHEMA sandbox FROM sandbox_views;
REVOKE ALL ON sandbox.canary_view FROM PUBLIC;
""".strip()


def schema_with_views(schema: str, views: Sequence[View]) -> str:
    """Make a shape's schema anew, with its views in it."""
    lines = [
        f"DROP SCHEMA IF EXISTS {schema} CASCADE;",
        f"CREATE SCHEMA {schema};",
        f"ALTER SCHEMA {schema} OWNER TO {VIEWS_OWNER};",
        f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;",
    ]
    for view in views:
        lines += [
            view.create,
            f"ALTER VIEW {view.sql_name} OWNER TO {VIEWS_OWNER};",
            f"REVOKE ALL ON {view.sql_name} FROM PUBLIC;",
            f"COMMENT ON VIEW {view.sql_name} IS 'source {view.source_digest}';",
        ]
    return "\n".join(lines)


def column_grant(table: tuple[str, str], columns: Sequence[str]) -> str:
    """Let the views' owner read what its views read."""
    named = ", ".join(map(quoted_name, columns))
    return f"GRANT SELECT ({named}) ON {'.'.join(map(quoted_name, table))} TO {VIEWS_OWNER};"


SEALED: Final = "-- What the views became is noted on them: `sandbox doctor` sees when one is changed.\n" + do(f"""
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT c.oid::regclass AS view, obj_description(c.oid, 'pg_class') AS source,
      encode(sha256(convert_to(pg_get_viewdef(c.oid), 'UTF8')), 'hex') AS definition
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname ~ {_SHAPES} AND n.nspowner = 'sandbox_views'::regrole AND c.relkind = 'v'
  LOOP
    EXECUTE format('COMMENT ON VIEW %s IS %L', one.view, one.source || ' definition ' || one.definition);
  END LOOP;
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    EXECUTE format('REVOKE sandbox_owner, sandbox_views FROM %I', current_user);
  END IF;
END
""")
