"""Is one MariaDB server set up as its connection's tools need it? Every check, in order."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sandbox.deployment import Misconfigured
from sandbox.doctor.findings import Finding, Undecided, not_set_up
from sandbox.doctor.mysql_canary import check_canary
from sandbox.doctor.mysql_functions import LOOK, Function
from sandbox.doctor.mysql_look import SECONDS, Grant, Look, grants_of, settle
from sandbox.doctor.mysql_script import pattern
from sandbox.doctor.mysql_views import account, mysql_views
from sandbox.doctor.mysql_views import grants_of as columns_of
from sandbox.executors.ending import Over
from sandbox.executors.grant_shape import GrantShape
from sandbox.executors.mysql import KEY
from sandbox.executors.mysql_shape import quoted_name
from sandbox.executors.mysql_talk import Failed, Talk
from sandbox.executors.mysql_trouble import SENTENCES
from sandbox.executors.server_trouble import Gone
from sandbox.leases import Dsn
from sandbox.sql import Catalogue
from sandbox.stages import Cancellation

OLDEST: Final = (10, 11)
_LOOKS_ONLY: Final = frozenset({"REFERENCES", "SHOW VIEW"})
"""What lets a login see a table's columns and none of its rows."""
_READS: Final = frozenset({"SELECT"})


def check_dsn_login(look: Look) -> Iterator[Finding]:
    """Find a dsn whose login could do more than look at the catalogue."""
    mend = f"CREATE USER looks_only IDENTIFIED BY '…'; GRANT REFERENCES ON {pattern(look.database)}.* TO looks_only;"
    for right, what in grants_of(look.dsn):
        if right in _LOOKS_ONLY:
            continue
        message = f"the dsn's login has {right} on {what or 'more'}; it needs REFERENCES alone, to see the catalogue"
        yield Finding("dsn-login", message, f"{mend} -- and a dsn with it", "warning" if right in _READS else "error")


def check_logins(look: Look) -> Iterator[Finding]:
    """Find logins that are not let in, or may do or see more or less than the script gives."""
    own = {Grant("EXECUTE", f"FUNCTION {quoted_name(look.own)}.{quoted_name(name)}") for name in (KEY, LOOK)}
    yield from _login(look, look.claims_login, look.own, own, set())
    for shape in look.shapes:
        wanted = {Grant(right, f"{pattern(shape.schema)}.*") for right in ("SELECT", "EXECUTE")}
        yield from _login(look, shape.login, shape.schema, wanted, {view.name for view in look.views[shape.id]})


def _login(look: Look, login: str, database: str, wanted: set[Grant], names: set[str]) -> Iterator[Finding]:
    talk = look.log_in(login, database)
    if talk is None:
        message = f"the server does not let {login} in: it is missing or locked, or its password is another"
        yield Finding("login-shut", message, look.run_again)
        return
    try:
        held = set(grants_of(talk))
        shown = {str(name) for (name,) in talk.ask("SHOW DATABASES")} - {"information_schema"}
        tables = {str(name) for (name,) in talk.ask("SHOW TABLES")}
    finally:
        talk.wire.close()
    for right, what in sorted(held - wanted):
        mend = f"REVOKE {right} ON {what} FROM {account(login, '%')}; -- or from PUBLIC, or the role that has it"
        message = f"{login} has {right}{f' on {what}' if what else ''}, which the script does not give"
        yield Finding("login-rights", message, mend if what else look.run_again)
    for right, what in sorted(wanted - held):
        yield Finding("login-rights", f"{login} lacks {right} on {what}", look.run_again)
    for name in sorted(shown - {database}):
        message = f"{login} may use the database {name}, as anybody or by an account without a name"
        mend = "SELECT * FROM mysql.db WHERE User = ''; -- whose rights are everybody's; and SHOW GRANTS FOR PUBLIC"
        yield Finding("login-reach", message, mend)
    for name in sorted(tables ^ names):
        said = "sees in its database" if name in tables else "does not see in its database"
        yield Finding("login-tables", f"{login} {said} {name}", look.run_again)


def check_owner(look: Look) -> Iterator[Finding]:
    """Find rights of the views' owner beyond what the views read, or missing."""
    if look.seen is None:
        yield Finding("owner", "the views' owner cannot be asked what it may", look.run_again)
        return
    columns: set[tuple[str, ...]] = {
        (look.database, table, column, "SELECT")
        for table, names in columns_of(tuple(look.all_views)).items()
        for column in names
    }
    schemas: set[tuple[str, ...]] = {(pattern(look.own)[1:-1], right) for right in ("SELECT", "EXECUTE")}
    schemas |= {
        (pattern(shape.schema)[1:-1], right) for shape in look.shapes for right in ("SELECT", "EXECUTE", "SHOW VIEW")
    }
    wanted: Mapping[str, set[tuple[str, ...]]] = {
        "columns": columns, "tables": set(), "schemas": schemas, "everywhere": {("USAGE",)},
    }  # fmt: skip
    kept = {shape.schema for shape in look.shapes} | {look.own}
    for part, rights in wanted.items():
        held = {row for row in look.told(part) if not _is_outdated(row, kept)}
        for row in sorted(held - rights):
            message = f"the views' owner has {row[-1]} on {'.'.join(row[:-1]) or 'everything'}, which no view needs"
            # Views that no tool uses any more read columns too: what they may have needed is no danger yet.
            is_left_over = part == "columns" and bool(look.outdated)
            yield Finding("owner-rights", message, look.run_again, "warning" if is_left_over else "error")
        for row in sorted(rights - held):
            yield Finding("owner-rights", f"the views' owner lacks {row[-1]} on {'.'.join(row[:-1])}", look.run_again)


def _is_outdated(row: tuple[str, ...], kept: set[str]) -> bool:
    schema = row[0].replace("\\", "")
    return bool(re.fullmatch(r"sandbox_[0-9a-f]{12}", schema)) and schema not in kept


def check_views(look: Look) -> Iterator[Finding]:
    """Find views that are missing, made otherwise than the rules say, or changed since the script made them."""
    views = {row[:2]: row[2:] for row in look.told("views")}
    noted = {row[:2]: row[2:] for row in look.told("noted")}
    for view in look.all_views:
        place: tuple[str, ...] = (view.schema, view.name)
        name = f"{view.schema}.{view.name}"
        definer, security, definition = views.get(place, ("", "", ""))
        source, was = noted.get(place, ("", ""))
        if not definition:
            yield Finding("view-missing", f"the view {name} is missing, or what it reads is", look.run_again)
        elif (definer, security) != (look.owner, "DEFINER"):
            yield Finding("view-owner", f"the view {name} runs as {definer} and {security}", look.run_again)
        elif source != view.source_digest:
            yield Finding("view-source", f"the view {name} was made for other rules or columns", look.run_again)
        elif was != definition:
            yield Finding("view-changed", f"the view {name} is not what the script made", look.run_again)


def check_functions(look: Look) -> Iterator[Finding]:
    """Find functions that are missing or changed, or that somebody else put beside the views."""
    found = {row[:2]: row[2:] for row in look.told("functions")}
    schemas = {look.own, *(shape.schema for shape in look.shapes)}
    wanted: dict[tuple[str, ...], Function] = {(one.schema, one.name): one for one in look.all_functions}
    for place, function in wanted.items():
        if found.get(place) != (look.owner, "DEFINER", function.digest):
            message = f"the function {'.'.join(place)} is missing, or not what the script made"
            yield Finding("function", message, look.run_again)
    for place in sorted(place for place in found if place[0] in schemas and place not in wanted):
        message = f"the function {'.'.join(place)} is not the script's"
        yield Finding("function", message, f"DROP FUNCTION {'.'.join(map(quoted_name, place))};")


def check_outdated(look: Look) -> Iterator[Finding]:
    """Find what an earlier script made for rules that no tool has any more."""
    for schema in look.outdated:
        message = f"no tool uses the views in {schema} any more, and its login may still read them"
        yield Finding("outdated", message, look.run_again, "warning")


CHECKS: Final[Mapping[str, Callable[[Look], Iterator[Finding]]]] = MappingProxyType(
    {
        "the dsn's login": check_dsn_login,
        "rights and reach of each login": check_logins,
        "rights of the views' owner": check_owner,
        "views": check_views,
        "functions": check_functions,
        "what no tool uses any more": check_outdated,
        "each login on the canary": check_canary,
    }
)
"""What each check looks at, and the check; the order is the order of telling."""


def examine(
    connection: str, dsn: Dsn, lease_key: bytes, shapes: Sequence[GrantShape], catalogue: Catalogue
) -> tuple[Finding, ...]:
    """Run every check on a server; raises `Undecided` where it cannot be looked at."""
    place = dsn.server.parameters
    try:
        views = {shape.id: mysql_views(connection, place["database"], shape, catalogue) for shape in shapes}
    except Misconfigured as error:
        raise Undecided(str(error)) from error
    password = "" if dsn.password is None else dsn.password.reveal()
    try:
        talk = Talk(place, (dsn.user, password, place["database"]), time.monotonic() + SECONDS, Cancellation())
    except (Gone, Over) as error:
        trouble = error.trouble if isinstance(error, Gone) else "timed_out"
        raise Undecided(f"the server cannot be asked now: {SENTENCES[trouble]}") from error
    try:
        settle(talk)
        _check_version(talk.version)
        look = Look(
            connection=connection,
            database=place["database"],
            dsn=talk,
            server=dsn.server,
            lease_key=lease_key,
            shapes=shapes,
            views=views,
        )
        if look.seen is None and not _lets_anybody_in(look):
            return (*check_dsn_login(look), not_set_up(connection))
        return tuple(finding for check in CHECKS.values() for finding in check(look))
    except (Gone, Over, Failed) as error:
        raise Undecided("the server did not answer a question about its catalogue") from error
    finally:
        talk.wire.close()


def _lets_anybody_in(look: Look) -> bool:
    for login, database in [(look.claims_login, look.own), *((shape.login, shape.schema) for shape in look.shapes)]:
        if (talk := look.log_in(login, database)) is not None:
            talk.wire.close()
            return True
    return False


def _check_version(version: str) -> None:
    """Raise `Undecided` for a server that is no MariaDB, or an older one than is known."""
    numbers = re.search(r"(\d+)\.(\d+)\.\d+-MariaDB", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise Undecided(f"the server is no MariaDB of {OLDEST[0]}.{OLDEST[1]} or newer, which alone are known")
