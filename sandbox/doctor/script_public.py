"""What is taken from PUBLIC, who keeps it, and how does PUBLIC get it back?"""

from __future__ import annotations

from typing import Final

from sandbox.doctor.quoting import commented, quoted_text
from sandbox.doctor.revokes import EXECUTABLE
from sandbox.doctor.roles import COMMENT, FORMER_PUBLIC, OWNER, SHAPE, VIEWS_OWNER
from sandbox.doctor.script_parts import do
from sandbox.doctor.script_roles import revoking

_SHAPES: Final = quoted_text(f"^{SHAPE.pattern}$")


def revokes() -> str:
    """Take from PUBLIC what a tool's login must not have, and leave it to everybody else."""
    return do(f"""
DECLARE
  one record;
  before bigint := (SELECT count(*) FROM sandbox.revoked);
  may_revoke boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{FORMER_PUBLIC}') THEN
    CREATE ROLE {FORMER_PUBLIC} NOLOGIN;
  END IF;
  IF NOT may_revoke THEN
    RAISE WARNING 'functions stay executable by every login: only a superuser can take them from PUBLIC';
  END IF;
  FOR one IN
    SELECT 'FUNCTION' AS kind, p.oid::regprocedure::text AS object, 'EXECUTE' AS privilege
      FROM pg_proc AS p WHERE may_revoke AND p.oid IN ({EXECUTABLE})
    UNION ALL
    SELECT 'SCHEMA', n.nspname, a.privilege_type
      FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
      WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE'
    UNION ALL
    SELECT 'DATABASE', quote_ident(d.datname), a.privilege_type
      FROM pg_database AS d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
      WHERE d.datname = current_database() AND a.grantee = 0 AND a.privilege_type IN ('TEMPORARY', 'CREATE')
  LOOP
    EXECUTE format('GRANT %s ON %s %s TO {FORMER_PUBLIC}', one.privilege, one.kind, one.object);
    EXECUTE format('REVOKE %s ON %s %s FROM PUBLIC', one.privilege, one.kind, one.object);
    INSERT INTO sandbox.revoked VALUES (one.kind, one.object, one.privilege) ON CONFLICT DO NOTHING;
  END LOOP;
  IF (SELECT count(*) FROM sandbox.revoked) > before THEN
    FOR one IN
      SELECT r.rolname, r.rolinherit FROM pg_roles AS r
      WHERE NOT r.rolsuper AND r.rolname !~ '^(pg|sandbox)_' AND NOT pg_has_role(r.oid, '{FORMER_PUBLIC}', 'MEMBER')
    LOOP
      IF current_setting('server_version_num')::int >= 160000 THEN
        EXECUTE format('GRANT {FORMER_PUBLIC} TO %I WITH INHERIT TRUE', one.rolname);
      ELSE
        EXECUTE format('GRANT {FORMER_PUBLIC} TO %I', one.rolname);
        IF NOT one.rolinherit THEN
          RAISE WARNING '% does not inherit: it has what was revoked after SET ROLE {FORMER_PUBLIC}', one.rolname;
        END IF;
      END IF;
    END LOOP;
  END IF;
END
""")


RESTORED: Final = do("""
DECLARE
  one record;
BEGIN
  IF to_regclass('sandbox.revoked') IS NULL THEN
    RAISE EXCEPTION 'this database is not set up: it has no table sandbox.revoked';
  END IF;
  FOR one IN SELECT r.kind, r.object, r.privilege FROM sandbox.revoked AS r
    WHERE r.kind <> 'FUNCTION' OR to_regprocedure(r.object) IS NOT NULL
  LOOP
    EXECUTE format('GRANT %s ON %s %s TO PUBLIC', one.privilege, one.kind, one.object);
  END LOOP;
END
""")


def undo_header(connection: str) -> str:
    """Say to the administrator what the undo script does."""
    lines = [
        f"Takes back what the set-up script of the sandbox's connection `{connection}` did in this database:",
        "PUBLIC gets back what was taken from it, the views, the schema `sandbox` and the logins are dropped. Roles",
        "that another database of this server still needs stay. Tools of this connection fail from here on.",
    ]
    return "\n".join(f"-- {commented(line)}" for line in lines)


def dropped(connection: str) -> str:
    """Drop what the script made here, and the roles that no other database needs."""
    ours = (
        f"r.rolname IN ('{FORMER_PUBLIC}', '{VIEWS_OWNER}', '{OWNER}')"
        f" OR shobj_description(r.oid, 'pg_authid') = {quoted_text(COMMENT.format(connection))}"
    )
    return do(f"""
DECLARE
  one text;
  granted record;
BEGIN
  FOR one IN SELECT n.nspname FROM pg_namespace AS n
    WHERE n.nspname = 'sandbox' OR n.nspname ~ {_SHAPES} AND n.nspowner = 'sandbox_views'::regrole
  LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', one);
  END LOOP;
{revoking(ours)}
  FOR one IN SELECT r.rolname FROM pg_roles AS r WHERE {ours} LOOP
    IF EXISTS (SELECT FROM pg_shdepend AS d
        WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = one::regrole) THEN
      RAISE WARNING '% stays: another database of this server needs it', one;
    ELSE
      EXECUTE format('DROP ROLE %I', one);
    END IF;
  END LOOP;
END
""")
