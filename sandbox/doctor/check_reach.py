"""What else could a tool's login reach? Whatever it may do beyond its views is found, through PUBLIC or by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sandbox.doctor.findings import Finding, Level
from sandbox.doctor.inspection import Inspection
from sandbox.doctor.quoting import quoted_name
from sandbox.doctor.revokes import EXECUTABLE
from sandbox.doctor.roles import VIEWS_OWNER

_HIDDEN: Final = (
    *("pg_authid", "pg_shadow", "pg_statistic", "pg_statistic_ext_data", "pg_user_mapping", "pg_largeobject"),
    *("pg_hba_file_rules", "pg_ident_file_mappings", "pg_file_settings", "pg_config", "pg_backend_memory_contexts"),
    *("pg_shmem_allocations", "pg_replication_origin_status"),
)
"""What PostgreSQL itself keeps from PUBLIC; a grant here would show passwords' verifiers, hidden values or settings."""

_MADE_NEXT: Final = {"r": "TABLES", "S": "SEQUENCES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}
"""What default rights are looked at, by `defaclobjtype`, as `ALTER DEFAULT PRIVILEGES` calls it."""

_REACH: Final = """
SELECT l.login, o.what, a.privilege_type, bool_or(a.grantee = 0), o.owner::regrole::text
FROM unnest(%(logins)s::text[]) AS l (login), (
  SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass AS what, c.relacl AS acl,
    n.nspname, c.relname, c.relkind, c.relowner AS owner
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  UNION ALL
  SELECT 'TABLE ' || c.oid::regclass, t.attacl, n.nspname, c.relname, c.relkind, c.relowner
    FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
  UNION ALL SELECT 'SCHEMA ' || n.oid::regnamespace, n.nspacl, '', '', 'n', n.nspowner FROM pg_namespace AS n
  UNION ALL SELECT format('DATABASE %%I', d.datname), coalesce(d.datacl, acldefault('d', d.datdba)),
    '', '', 'd', d.datdba
    FROM pg_database AS d WHERE d.datname = current_database()
  UNION ALL SELECT format('FOREIGN SERVER %%I', s.srvname), s.srvacl, '', '', 's', s.srvowner
    FROM pg_foreign_server AS s
  UNION ALL SELECT format('FOREIGN DATA WRAPPER %%I', f.fdwname), f.fdwacl, '', '', 'w', f.fdwowner
    FROM pg_foreign_data_wrapper AS f
  UNION ALL SELECT format('LARGE OBJECT %%s', m.oid), m.lomacl, '', '', 'l', m.lomowner
    FROM pg_largeobject_metadata AS m
  UNION ALL SELECT format('PARAMETER %%s', p.parname), p.paracl, '', '', 'g', 10 FROM pg_parameter_acl AS p
) AS o, aclexplode(o.acl) AS a
WHERE (a.grantee = 0 OR a.grantee = to_regrole(l.login))
  AND NOT (o.relkind = 'n' AND a.privilege_type = 'USAGE')
  AND NOT (o.relkind = 'd' AND a.privilege_type = 'CONNECT')
  AND NOT (o.nspname IN ('pg_catalog', 'information_schema') AND o.relname <> ALL (%(hidden)s)
    AND (a.privilege_type = 'SELECT' OR o.relname = 'pg_settings'))
  AND NOT (o.nspname = l.login AND a.privilege_type = 'SELECT')
  AND NOT (o.nspname = 'sandbox' AND o.relname = 'canary_view' AND a.privilege_type = 'SELECT')
GROUP BY 1, 2, 3, o.owner ORDER BY 2, 3, 1
"""

_FUNCTIONS: Final = """
SELECT p.oid::regprocedure::text, p.prosecdef, l.lanname, p.proowner::regrole::text FROM pg_proc AS p
  JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'sandbox')
  AND (p.prosecdef OR NOT l.lanpltrusted AND l.lanname <> 'sql' AND p.provolatile = 'v')
  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
  AND 'internal'::regtype <> ALL (p.proargtypes)
  AND has_schema_privilege(%(login)s, n.oid, 'USAGE') AND has_function_privilege(%(login)s, p.oid, 'EXECUTE')
ORDER BY 1
"""


def _logins(look: Inspection) -> list[str]:
    return [login for login in look.logins if login in look.present]


def _level(look: Inspection, owner: object) -> Level:
    """How bad a grant is: what somebody else has, and lets everybody or a login have, is theirs to show.

    # WHY: an error stops every tool of the database, and any user may grant what is theirs to anybody.
    """
    return "error" if owner in look.concerned else "warning"


def check_reach(look: Inspection) -> Iterator[Finding]:
    """Find rights on tables, schemas, this database, servers and parameters that no view's reader needs."""
    rows = look.ask(_REACH, logins=_logins(look), hidden=list(_HIDDEN))
    through_public: set[tuple[object, object]] = set()
    for login, what, privilege, is_public, owner in rows:
        if not is_public:
            mend = f"REVOKE {privilege} ON {what} FROM {login};"
            yield Finding("reach", f"{login} may {privilege} on {what}", mend, _level(look, owner))
        elif (what, privilege) not in through_public:
            through_public.add((what, privilege))
            message = f"every tool's login may {privilege} on {what}, for PUBLIC may"
            mend = f"REVOKE {privilege} ON {what} FROM PUBLIC;"
            yield Finding("reach-public", message, mend, _level(look, owner))


def check_ownership(look: Inspection) -> Iterator[Finding]:
    """Find logins that own something: an owner may do anything with it."""
    rows = look.ask(
        "SELECT d.refobjid::regrole::text, pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_shdepend AS d"
        " WHERE d.deptype = 'o' AND d.refclassid = 'pg_authid'::regclass"
        " AND d.refobjid::regrole::text = ANY (%(logins)s)"
        " AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))",
        logins=_logins(look),
    )
    for login, what in rows:
        yield Finding("ownership", f"{login} owns {what}", f"REASSIGN OWNED BY {login} TO CURRENT_USER;")


def check_builtin_functions(look: Inspection) -> Iterator[Finding]:
    """Find PostgreSQL's own functions with side effects that logins may call again, such as after an upgrade."""
    rows = look.database.execute(
        f"SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.oid IN ({EXECUTABLE}) ORDER BY 1".encode()
    ).fetchall()
    level: Level = "warning" if look.without_revokes else "error"
    kept = "; the gate alone keeps statements from it"
    if not look.without_revokes:
        kept = "; a superuser changes that, and without one `without_revokes` accepts it"
    for (signature,) in rows:
        message = f"every tool's login may call {signature}, for PUBLIC may{kept}"
        yield Finding("revoke-missing", message, f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC;", level)


def check_granted_functions(look: Inspection) -> Iterator[Finding]:
    """Find functions granted to a login by name."""
    rows = look.ask(
        "SELECT p.oid::regprocedure::text, a.grantee::regrole::text, p.proowner::regrole::text"
        " FROM pg_proc AS p, aclexplode(p.proacl) AS a"
        " WHERE p.pronamespace <> coalesce(to_regnamespace('sandbox'), 0)"
        " AND a.grantee::regrole::text = ANY (%(logins)s)",
        logins=_logins(look),
    )
    for signature, login, owner in rows:
        mend = f"REVOKE EXECUTE ON FUNCTION {signature} FROM {login};"
        yield Finding("function-right", f"{login} may call {signature}", mend, _level(look, owner))


def check_other_functions(look: Inspection) -> Iterator[Finding]:
    """Find functions of this database that act with other rights than their caller's, and that logins may call."""
    found: set[object] = set()
    for login in _logins(look):
        for signature, is_definer, language, owner in look.ask(_FUNCTIONS, login=login):
            if signature not in found:
                found.add(signature)
                why = (
                    "with its owner's rights (SECURITY DEFINER)"
                    if is_definer
                    else f"outside all rights (language {language})"
                )
                message = f"tools' logins may call {signature}, which acts {why}"
                mend = f"REVOKE EXECUTE ON FUNCTION {signature} FROM PUBLIC, {login};"
                yield Finding("function-reach", message, mend, _level(look, owner) if is_definer else "error")


def check_default_rights(look: Inspection) -> Iterator[Finding]:
    """Find default privileges that would give logins whatever is made next."""
    rows = look.ask(
        "SELECT d.defaclrole::regrole::text, coalesce(n.nspname, ''), d.defaclobjtype::text, a.privilege_type,"
        " CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END"
        " FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace,"
        " aclexplode(d.defaclacl) AS a WHERE d.defaclobjtype::text = ANY (%(kinds)s)"
        " AND (a.grantee = 0 OR a.grantee::regrole::text = ANY (%(logins)s))",
        logins=_logins(look),
        kinds=list(_MADE_NEXT),
    )
    for owner, schema, kind, privilege, grantee in rows:
        where = f" IN SCHEMA {quoted_name(str(schema))}" if schema else ""
        what = _MADE_NEXT[str(kind)]
        mend = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner}{where} REVOKE {privilege} ON {what} FROM {grantee};"
        message = f"{grantee} will have {privilege} on {what.lower()} that {owner} makes next"
        yield Finding("default-rights", message, mend, _level(look, owner))


def check_row_security(look: Inspection) -> Iterator[Finding]:
    """Find tables whose own row security hides every row from the views."""
    if VIEWS_OWNER not in look.present:
        return
    rows = look.ask(
        "SELECT DISTINCT c.oid::regclass::text FROM pg_class AS c WHERE c.relrowsecurity"
        " AND has_any_column_privilege(%(owner)s, c.oid, 'SELECT')"
        " AND c.relnamespace <> coalesce(to_regnamespace('sandbox'), 0)"
        " AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polpermissive"
        "   AND p.polcmd IN ('r', '*') AND p.polroles && ARRAY[0, to_regrole(%(owner)s)::oid])",
        owner=VIEWS_OWNER,
    )
    for (table,) in rows:
        message = f"the row security of {table} lets {VIEWS_OWNER} read no row, so the tools' views of it are empty"
        mend = f"CREATE POLICY sandbox_reads ON {table} FOR SELECT TO {VIEWS_OWNER} USING (true);"
        yield Finding("row-security", message, mend, "warning")


def check_other_databases(look: Inspection) -> Iterator[Finding]:
    """Find other databases of the server that a login could connect to: there nothing is taken from PUBLIC."""
    rows = look.ask(
        "SELECT DISTINCT d.datname, CASE a.grantee WHEN 0 THEN '' ELSE l.login END FROM pg_database AS d,"
        " unnest(%(logins)s::text[]) AS l (login), aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a"
        " WHERE d.datallowconn AND d.datname <> current_database() AND a.privilege_type = 'CONNECT'"
        " AND (a.grantee = 0 OR a.grantee = to_regrole(l.login)) ORDER BY 1, 2",
        logins=_logins(look),
    )
    for name, login in rows:
        database = quoted_name(str(name))
        whose, why = (f"the password of {login}", "it") if login else ("a login's password", "PUBLIC")
        message = f"whoever holds {whose} may connect to the database {database}, for {why} may"
        mend = f"REVOKE CONNECT ON DATABASE {database} FROM {login or 'PUBLIC'}; -- or a line in pg_hba.conf"
        yield Finding("other-database", message, mend, "warning")
