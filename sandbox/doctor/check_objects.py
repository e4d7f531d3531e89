"""Are schema, functions, views and their rights exactly what the script made?"""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.doctor.findings import Finding, Level
from sandbox.doctor.functions import FOR_TOOLS, FUNCTIONS, Function
from sandbox.doctor.inspection import Inspection, missing_and_extra
from sandbox.doctor.quoting import quoted_text
from sandbox.doctor.roles import COMMENT, OWNER, VIEWS_OWNER
from sandbox.doctor.views import View, grants_of
from sandbox.reasons import quoted


def check_schemas(look: Inspection) -> Iterator[Finding]:
    """Find schemas of ours that are missing, another's or left over."""
    expected = {"sandbox": OWNER} | {shape.schema: VIEWS_OWNER for shape in look.shapes}
    rows = look.ask(
        "SELECT n.nspname, n.nspowner::regrole::text, obj_description(n.oid, 'pg_namespace') FROM pg_namespace AS n"
        " WHERE n.nspname = 'sandbox' OR n.nspname ~ '^sandbox_[0-9a-f]{12}$'"
    )
    found = {str(name): (str(owner), comment) for name, owner, comment in rows}
    for name in sorted(expected.keys() - found.keys()):
        yield Finding("schema-missing", f"the schema {name} is missing", look.run_again)
    for name in sorted(found.keys() - expected.keys()):
        message = f"the schema {name} and its login serve no tool any more"
        level: Level = "warning" if name in look.outdated else "error"
        yield Finding("schema-outdated", message, look.run_again, level)
    for name, owner in sorted(expected.items()):
        if name in found and found[name][0] != owner:
            mend = f"ALTER SCHEMA {name} OWNER TO {owner};"
            yield Finding("schema-owner", f"the schema {name} belongs to {found[name][0]}, not to {owner}", mend)
    comment = COMMENT.format(look.connection)
    if "sandbox" in found and found["sandbox"][1] != comment:
        message = f"the schema sandbox says of itself {quoted(str(found['sandbox'][1]))}, not {quoted(comment)}"
        yield Finding("schema-comment", message, f"COMMENT ON SCHEMA sandbox IS {quoted_text(comment)};")


def check_functions(look: Inspection) -> Iterator[Finding]:
    """Find our functions missing, changed, or joined by others."""
    rows = look.ask(
        "SELECT p.proname, pg_get_function_identity_arguments(p.oid), p.proowner::regrole::text,"
        " p.prorettype::regtype::text, l.lanname, p.provolatile::text, p.proparallel::text, p.prosecdef,"
        " coalesce(p.proconfig, '{}'), p.prosrc FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang"
        " WHERE p.pronamespace = to_regnamespace('sandbox')"
    )
    found = {(str(row[0]), str(row[1])): row[2:] for row in rows}
    for function in FUNCTIONS:
        facts = found.pop((function.name, function.arguments), None)
        if facts is None:
            yield Finding("function-missing", f"the function {function.signature} is missing", look.run_again)
        elif tuple(facts) != _facts(function):
            message = f"the function {function.signature} is not what the script made: body, owner or settings differ"
            yield Finding("function-changed", message, look.run_again)
    for name, arguments in sorted(found):
        message = f"the schema sandbox holds a function that the script did not make: {name}({arguments})"
        yield Finding("function-extra", message, f"DROP FUNCTION sandbox.{name}({arguments});")


def _facts(function: Function) -> tuple[object, ...]:
    settings = [f"{name}={value}" for name, value in function.settings]
    volatility, parallel = function.volatility[0].lower(), function.parallel[0].lower()
    kind = function.language
    return (OWNER, function.returns, kind, volatility, parallel, function.is_definer, settings, function.body)


def check_views(look: Inspection) -> Iterator[Finding]:
    """Find views that are missing, changed, or joined by others."""
    rows = look.ask(
        "SELECT n.nspname, c.relname, c.relkind::text, c.relowner::regrole::text, coalesce(c.reloptions, '{}'),"
        " coalesce(obj_description(c.oid, 'pg_class'), ''),"
        " CASE c.relkind WHEN 'v' THEN encode(sha256(convert_to(pg_get_viewdef(c.oid), 'UTF8')), 'hex') ELSE '' END,"
        " ARRAY(SELECT a.attname::text FROM pg_attribute AS a"
        "   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),"
        " ARRAY(SELECT DISTINCT d.refobjid::regclass::text || '.' || t.attname FROM pg_rewrite AS r"
        "   JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
        "     AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid"
        "   JOIN pg_attribute AS t ON t.attrelid = d.refobjid AND t.attnum = d.refobjsubid AND t.attnum > 0"
        "   WHERE r.ev_class = c.oid ORDER BY 1)"
        " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = ANY (%(schemas)s) AND c.relkind NOT IN ('i', 't')",
        schemas=[shape.schema for shape in look.shapes],
    )
    found = {(str(row[0]), str(row[1])): row[2:] for row in rows}
    for view in look.all_views:
        facts = found.pop((view.schema, view.name), None)
        if facts is None:
            yield Finding("view-missing", f"the view {view.sql_name} is missing", look.run_again)
        elif said := _changed(view, facts):
            yield Finding(
                "view-changed", f"the view {view.sql_name} is not what the script made: {said}", look.run_again
            )
    for schema, name in sorted(found):
        message = f"the schema {schema} holds a relation that the script did not make: {name}"
        yield Finding("view-extra", message, look.run_again)


def _changed(view: View, facts: tuple[object, ...]) -> str:
    kind, owner, options, comment, definition, columns, reads = facts
    wanted = sorted(f"{'.'.join(view.table)}.{column}" for column in view.reads)
    if kind != "v" or owner != VIEWS_OWNER:
        return f"it is no view that belongs to {VIEWS_OWNER}"
    if options != (["security_barrier=true"] if view.is_barrier else []):
        return "its options differ, so that conditions may meet hidden rows"
    if columns != list(view.columns):
        return "its columns differ"
    if not isinstance(reads, list) or sorted(read.replace('"', "") for read in reads) != wanted:
        return "it reads other tables or columns"
    if comment != f"source {view.source_digest} definition {definition}":
        return "its text differs"
    return ""


def check_rights(look: Inspection) -> Iterator[Finding]:
    """Find rights on what is ours that the script did not grant, or that are gone."""
    rows = look.ask(
        "SELECT o.what, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, a.privilege_type FROM ("
        " SELECT 'TABLE ' || c.oid::regclass AS what, c.relacl AS acl, c.relowner AS owner FROM pg_class AS c"
        "   JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        "   WHERE n.nspname = 'sandbox' OR n.nspname ~ '^sandbox_[0-9a-f]{12}$'"
        " UNION ALL SELECT 'SCHEMA ' || n.oid::regnamespace, n.nspacl, n.nspowner FROM pg_namespace AS n"
        "   WHERE n.nspname = 'sandbox' OR n.nspname ~ '^sandbox_[0-9a-f]{12}$'"
        " UNION ALL SELECT 'FUNCTION ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner)),"
        "   p.proowner FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace('sandbox')"
        ") AS o, aclexplode(o.acl) AS a WHERE a.grantee <> o.owner"
    )
    missing, extra = missing_and_extra(_expected_rights(look), rows)
    for what, grantee, privilege in missing:
        yield Finding(
            "right-missing", f"{grantee} lacks {privilege} on {what}", f"GRANT {privilege} ON {what} TO {grantee};"
        )
    ours = {f"FUNCTION {function.signature}" for function in FUNCTIONS}
    for what, grantee, privilege in extra:
        if what.startswith("FUNCTION ") and what not in ours:
            continue  # to be dropped as a whole
        if grantee in look.outdated and _was_granted(what, grantee, privilege):
            continue  # widens no login that is used, and goes with its schema
        mend = f"REVOKE {privilege} ON {what} FROM {grantee};"
        yield Finding("right-extra", f"{grantee} has {privilege} on {what}, which the script did not grant", mend)


def _expected_rights(look: Inspection) -> Iterator[tuple[str, str, str]]:
    yield ("SCHEMA sandbox", look.claims_login, "USAGE")
    yield ("FUNCTION sandbox.claims_key_bytes()", look.claims_login, "EXECUTE")
    for shape in look.shapes:
        yield from ((what, shape.login, privilege) for what, privilege in _beside_views(shape.login))
        yield from ((f'TABLE {view.schema}."{view.name}"', shape.login, "SELECT") for view in look.views[shape.id])


def _beside_views(login: str) -> Iterator[tuple[str, str]]:
    yield ("SCHEMA sandbox", "USAGE")
    yield (f"SCHEMA {login}", "USAGE")
    yield ("TABLE sandbox.canary_view", "SELECT")
    yield from ((f"FUNCTION {function.signature}", "EXECUTE") for function in FOR_TOOLS)


def _was_granted(what: str, login: str, privilege: str) -> bool:
    """Whether an earlier script gave the login this right, for tools that it had then."""
    return (what, privilege) in _beside_views(login) or (what.startswith(f"TABLE {login}.") and privilege == "SELECT")


def check_column_rights(look: Inspection) -> Iterator[Finding]:
    """Find what the views' owner may read and should not, or should and may not."""
    rows = look.ask(
        "SELECT o.what, o.name, a.privilege_type, o.owner::regrole::text FROM ("
        " SELECT c.oid::regclass::text AS what, '' AS name, c.relacl AS acl, c.relowner AS owner FROM pg_class AS c"
        "   WHERE c.relowner <> to_regrole(%(owner)s)"
        " UNION ALL SELECT c.oid::regclass::text, t.attname::text, t.attacl, c.relowner FROM pg_attribute AS t"
        "   JOIN pg_class AS c ON c.oid = t.attrelid"
        ") AS o, aclexplode(o.acl) AS a WHERE a.grantee = to_regrole(%(owner)s)",
        owner=VIEWS_OWNER,
    )
    owners = {str(what): str(owner) for what, _, _, owner in rows}
    expected = {("sandbox.canary", "tenant", "SELECT"), ("sandbox.canary", "note", "SELECT")}
    for table, columns in grants_of(tuple(look.all_views)).items():
        expected |= {(_regclass(look, table), column, "SELECT") for column in columns}
    of_outdated = set(_read_by_outdated(look))
    missing, extra = missing_and_extra(expected, [row[:3] for row in rows])
    for what, column, _ in missing:
        mend = f'GRANT SELECT ("{column}") ON {what} TO {VIEWS_OWNER};'
        yield Finding("column-missing", f'{VIEWS_OWNER} may not read the column "{column}" of {what}', mend)
    for what, column, privilege in extra:
        if privilege == "SELECT" and (what, column) in of_outdated:
            continue  # goes with its view
        part = f' ("{column}")' if column else ""
        mend = f"REVOKE {privilege}{part} ON {what} FROM {VIEWS_OWNER};"
        message = f"{VIEWS_OWNER} has {privilege}{part} on {what}, which no view needs"
        # A neighbour may grant what is theirs, and no view of ours reads it.
        yield Finding("column-extra", message, mend, "error" if owners[what] in look.concerned else "warning")


def _read_by_outdated(look: Inspection) -> Iterator[tuple[str, str]]:
    rows = look.ask(
        "SELECT DISTINCT d.refobjid::regclass::text, t.attname::text FROM pg_class AS c"
        " JOIN pg_rewrite AS r ON r.ev_class = c.oid"
        " JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid"
        "   AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid"
        " JOIN pg_attribute AS t ON t.attrelid = d.refobjid AND t.attnum = d.refobjsubid AND t.attnum > 0"
        " WHERE c.relnamespace::regnamespace::text = ANY (%(schemas)s)",
        schemas=sorted(look.outdated),
    )
    return ((str(table), str(column)) for table, column in rows)


def _regclass(look: Inspection, table: tuple[str, str]) -> str:
    rows = look.ask(
        "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %(schema)s AND c.relname = %(name)s",
        schema=table[0],
        name=table[1],
    )
    return str(rows[0][0]) if rows else ".".join(table)
