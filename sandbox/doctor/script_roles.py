"""How do roles come to what they may do, and to nothing else? The parts of the script that make and grant them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sandbox.doctor.quoting import quoted_text
from sandbox.doctor.roles import SHAPE
from sandbox.doctor.script_parts import do

_SHAPES: Final = quoted_text(f"^{SHAPE.pattern}$")


def roles(owners: Sequence[str], logins: Sequence[str]) -> str:
    """Make the roles that are missing, take attributes and memberships that they should not have."""
    made = [*owners, *logins]
    return do(f"""
DECLARE
  one text;
  held record;
BEGIN
  FOREACH one IN ARRAY {_array(made)} LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = one) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', one);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = one
        AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)) THEN
      EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', one);
    END IF;
    FOR held IN SELECT m.roleid::regrole AS role FROM pg_auth_members AS m WHERE m.member = one::regrole LOOP
      EXECUTE format('REVOKE %s FROM %I', held.role, one);
    END LOOP;
  END LOOP;
END
""") + "\n" + joined(owners) + "".join(f"\nALTER ROLE {owner} NOLOGIN PASSWORD NULL;" for owner in owners)  # fmt: skip


def joined(owners: Sequence[str]) -> str:
    """Make who runs the script a member of the owners: else only a superuser gives or takes what is theirs."""
    return do(f"""
DECLARE
  one text;
BEGIN
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    FOR one IN SELECT r.rolname FROM pg_roles AS r WHERE r.rolname = ANY ({_array(owners)}) LOOP
      EXECUTE format('GRANT %I TO %I', one, current_user);
    END LOOP;
  END IF;
END
""")


def superuser_setting(login: str, name: str, value: str) -> str:
    """Set what only a superuser may set, if one runs the script."""
    return do(f"""
BEGIN
  IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    ALTER ROLE {login} SET {name} = {quoted_text(value)};
  ELSE
    RAISE WARNING '{name} of {login} is not set: only a superuser may';
  END IF;
END
""")


def from_nothing(grantees: Sequence[str]) -> str:
    """Take back what is granted to our roles by name on relations, schemas, functions and this database."""
    return do(f"""
DECLARE
  granted record;
BEGIN
{revoking(f"r.rolname = ANY ({_array(grantees)})")}
END
""")


def revoking(condition: str) -> str:
    """Return a loop that revokes what roles were granted in this database; `condition` is about `r`, the role."""
    return f"""
  FOR granted IN
    SELECT DISTINCT o.what, r.oid::regrole AS grantee FROM (
      SELECT 'TABLE ' || c.oid::regclass AS what, c.relacl AS acl FROM pg_class AS c WHERE c.relkind <> 'S'
      UNION ALL SELECT 'TABLE ' || t.attrelid::regclass, t.attacl FROM pg_attribute AS t
      UNION ALL SELECT 'SEQUENCE ' || c.oid::regclass, c.relacl FROM pg_class AS c WHERE c.relkind = 'S'
      UNION ALL SELECT 'SCHEMA ' || n.oid::regnamespace, n.nspacl FROM pg_namespace AS n
      UNION ALL SELECT 'ROUTINE ' || p.oid::regprocedure, p.proacl FROM pg_proc AS p
      UNION ALL SELECT format('DATABASE %I', d.datname), d.datacl FROM pg_database AS d
        WHERE d.datname = current_database()
    ) AS o, aclexplode(o.acl) AS a JOIN pg_roles AS r ON r.oid = a.grantee AND a.grantor <> a.grantee
    WHERE {condition}
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', granted.what, granted.grantee);
  END LOOP;
""".strip("\n")


def outdated(logins: Sequence[str]) -> str:
    """Drop the schemas and logins of shapes that are not in the script."""
    return do(f"""
DECLARE
  one text;
  granted record;
BEGIN
  FOR one IN SELECT n.nspname FROM pg_namespace AS n
    WHERE n.nspname ~ {_SHAPES} AND n.nspowner = 'sandbox_views'::regrole AND n.nspname <> ALL ({_array(logins)})
  LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', one);
{revoking("r.rolname = one")}
    IF to_regrole(one) IS NOT NULL AND NOT EXISTS (SELECT FROM pg_shdepend AS d
        WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = to_regrole(one)) THEN
      EXECUTE format('DROP ROLE %I', one);
    END IF;
  END LOOP;
END
""")


def login_rights(login: str, schema: str, functions: Sequence[str]) -> str:
    """Let a tool's login read its views, call what they call, and read the canary."""
    return "\n".join(
        [
            _connect(login),
            f"GRANT USAGE ON SCHEMA sandbox, {schema} TO {login};",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {login};",
            f"GRANT SELECT ON sandbox.canary_view TO {login};",
            f"GRANT EXECUTE ON FUNCTION {', '.join(functions)} TO {login};",
        ]
    )


def claims_rights(login: str, function_signature: str) -> str:
    """Let the claims' login ask for the key."""
    return "\n".join(
        [
            _connect(login),
            f"GRANT USAGE ON SCHEMA sandbox TO {login};",
            f"GRANT EXECUTE ON FUNCTION {function_signature} TO {login};",
        ]
    )


def _connect(login: str) -> str:
    return do(f"""
BEGIN
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO {login}', current_database());
END
""")


def _array(names: Sequence[str]) -> str:
    return "ARRAY[" + ", ".join(map(quoted_text, names)) + "]::text[]"
