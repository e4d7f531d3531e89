"""Are the roles as the script makes them: able to nothing by themselves, members of nothing, with their settings?"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.doctor.findings import Finding
from sandbox.doctor.inspection import Inspection
from sandbox.doctor.quoting import quoted_name
from sandbox.doctor.roles import CONNECTION_LIMIT, LOGIN_SETTINGS, SUPERUSER_SETTINGS

_ATTRIBUTES = ("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS", "INHERIT")


def check_dsn_login(look: Inspection) -> Iterator[Finding]:
    """Find a dsn whose login could do more than read the catalogue."""
    ((name, *powers),) = look.ask(
        "SELECT oid::regrole::text, rolsuper, rolcreaterole, rolbypassrls, rolreplication"
        " FROM pg_roles WHERE rolname = current_user"
    )
    held = [
        word for word, has in zip(("SUPERUSER", "CREATEROLE", "BYPASSRLS", "REPLICATION"), powers, strict=True) if has
    ]
    if held:
        message = (
            f"the dsn's login has {' and '.join(held)}; it needs no right but CONNECT, and a leaked dsn would be that"
        )
        yield Finding("dsn-login", message, "CREATE ROLE looks_only LOGIN PASSWORD '…'; -- and a dsn with it")
        return
    rows = look.ask(
        "SELECT DISTINCT c.oid::regclass::text, a.grantee::regrole::text FROM pg_class AS c"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace LEFT JOIN pg_attribute AS t ON t.attrelid = c.oid,"
        " aclexplode(coalesce(c.relacl, acldefault('r', c.relowner)) || coalesce(t.attacl, '{}')) AS a"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
        " AND a.grantee <> 0 AND pg_has_role(a.grantee, 'USAGE') ORDER BY 1, 2"
    )
    for table, grantee in rows:
        message = f"the dsn's login has rights on {table}; it needs none, for it only looks at the catalogue"
        mend = f"REVOKE ALL ON {table} FROM {name};" if grantee == name else f"REVOKE {grantee} FROM {name};"
        yield Finding("dsn-login", message, mend, "warning")


def check_attributes(look: Inspection) -> Iterator[Finding]:
    """Find roles that are missing, or may do by themselves what no grant says."""
    rows = look.ask(
        "SELECT rolname, rolcanlogin, rolconnlimit, coalesce(rolvaliduntil < 'infinity', false), rolsuper, rolcreatedb,"
        " rolcreaterole, rolreplication, rolbypassrls, rolinherit FROM pg_roles WHERE rolname = ANY (%(names)s)",
        names=[*look.logins, *look.owners],
    )
    for missing in sorted({*look.logins, *look.owners} - look.present):
        yield Finding("role-missing", f"the role {missing} is missing", look.run_again)
    for name, can_login, limit, expires, *attributes in rows:
        is_login = name in look.logins
        held = [word for word, has in zip(_ATTRIBUTES, attributes, strict=True) if has]
        if held:
            mend = f"ALTER ROLE {name} {' '.join(f'NO{word}' for word in held)};"
            yield Finding("role-attribute", f"the role {name} has {' and '.join(held)}", mend)
        if can_login != is_login:
            said = "cannot log in" if is_login else "can log in, and nobody should as it"
            yield Finding(
                "role-login", f"the role {name} {said}", f"ALTER ROLE {name} {'' if is_login else 'NO'}LOGIN;"
            )
        if is_login and limit != CONNECTION_LIMIT:
            mend = f"ALTER ROLE {name} CONNECTION LIMIT {CONNECTION_LIMIT};"
            yield Finding("role-limit", f"the role {name} may have {limit} sessions, not {CONNECTION_LIMIT}", mend)
        if expires:
            yield Finding(
                "role-expiry", f"the password of {name} expires", f"ALTER ROLE {name} VALID UNTIL 'infinity';"
            )


def check_memberships(look: Inspection) -> Iterator[Finding]:
    """Find our roles as members of others, which is a right of the other, and others as members of ours."""
    held = "m.inherit_option OR m.set_option" if look.version >= 160000 else "true"
    rows = look.database.execute(
        "SELECT m.roleid::regrole::text, m.member::regrole::text FROM pg_auth_members AS m"
        " WHERE m.member::regrole::text = ANY (%(ours)s)"
        f" OR m.roleid::regrole::text = ANY (%(ours)s) AND ({held})".encode(),
        {"ours": [*look.logins, *look.owners]},
    ).fetchall()
    for role, member in rows:
        message = f"{member} is a member of {role} and may do whatever that may"
        yield Finding("role-membership", message, f"REVOKE {role} FROM {member};")


def check_settings(look: Inspection) -> Iterator[Finding]:
    """Find settings of logins that the script did not make, or that are gone."""
    by_us = dict(LOGIN_SETTINGS)
    rows = look.ask(
        "SELECT s.setrole::regrole::text, d.datname, s.setconfig FROM pg_db_role_setting AS s"
        " LEFT JOIN pg_database AS d ON d.oid = s.setdatabase"
        " WHERE s.setrole::regrole::text = ANY (%(ours)s) AND (d.datname IS NULL OR d.datname = current_database())",
        ours=look.logins,
    )
    found: dict[str, dict[str, str]] = {}
    for role, database, settings in rows:
        if database is not None:
            mend = f"ALTER ROLE {role} IN DATABASE {quoted_name(str(database))} RESET ALL;"
            yield Finding("role-setting", f"the role {role} has settings of its own in this database", mend)
        elif isinstance(settings, list):
            found[str(role)] = dict(str(setting).split("=", 1) for setting in settings)
    for login in look.logins:
        if login not in look.present:
            continue
        has = found.get(login, {})
        for name in sorted({*by_us, *has} - dict(SUPERUSER_SETTINGS).keys()):
            if has.get(name) == by_us.get(name):
                continue
            mend = (
                f"ALTER ROLE {login} SET {name} = '{by_us[name]}';"
                if name in by_us
                else f"ALTER ROLE {login} RESET {name};"
            )
            said = f"is {has[name]!r}" if name in has else "is not set"
            yield Finding("role-setting", f"{name} of {login} {said}", mend)
        for name, value in SUPERUSER_SETTINGS if login in look.tool_logins else ():
            if has.get(name) != value:
                mend = f"ALTER ROLE {login} SET {name} = '{value}'; -- as a superuser"
                yield Finding("role-setting", f"{name} of {login} is not {value}", mend, "warning")
