"""What does the administrator run so that tools can read a PostgreSQL database? One text: idempotent, one transaction.

Pure: from names, rules, a key and the catalogue to a text. It holds no secret, and is the same whenever
it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sandbox.doctor import script_parts as parts
from sandbox.doctor import script_public, script_roles
from sandbox.doctor.functions import FOR_TOOLS, FUNCTIONS, KEY_BYTES
from sandbox.doctor.quoting import commented, quoted_text
from sandbox.doctor.roles import (
    COMMENT,
    CONNECTION_LIMIT,
    LOGIN_SETTINGS,
    OWNER,
    SHAPE,
    SUPERUSER_SETTINGS,
    VIEWS_OWNER,
)
from sandbox.doctor.views import View, grants_of, views_of
from sandbox.executors.grant_shape import GrantShape
from sandbox.leases.keys import claims_login
from sandbox.leases.postgres_logins import scram_verifier
from sandbox.sql import Catalogue

_RULE: Final = "-- " + "-" * 77


def setup_script(
    connection: str,
    shapes: Iterable[GrantShape],
    lease_key: bytes,
    catalogue: Catalogue,
    tools: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return the script for the grant shapes of one connection; `tools` names, by shape id, who uses each.

    Raises `Misconfigured` if a shape names what the catalogue does not have.
    """
    shapes = sorted({shape.id: shape for shape in shapes}.values(), key=lambda shape: shape.id)
    views = {shape.id: views_of(shape, catalogue) for shape in shapes}
    logins, asks_key = [shape.login for shape in shapes], claims_login(connection)
    used = tools or {}
    sections = [
        parts.header(connection, shapes, used),
        parts.BEGIN,
        parts.claimed_by(connection),
        _section("Roles", script_roles.roles((OWNER, VIEWS_OWNER), (asks_key, *logins))),
        *(_login(connection, login, lease_key) for login in (asks_key, *logins)),
        _section("Every right that these roles hold in this database is taken back, to be granted anew below",
                 script_roles.from_nothing((VIEWS_OWNER, asks_key, *logins))),
        _section("The schema `sandbox`: the claims' key, which the database makes itself", parts.schema(connection)),
        *(parts.function(function) for function in FUNCTIONS),
        _section("Canary: what `sandbox doctor` tries its logins on, so that it never touches a table of yours",
                 parts.CANARY),
        _section("Views of grant shapes that no tool uses any more", script_roles.outdated(logins)),
        *(_shape(shape, views[shape.id], used.get(shape.id, ())) for shape in shapes),
        _section("What the views read: granted to their owner, column by column",
                 "\n".join(parts.column_grant(table, columns) for table, columns in _granted(views).items())),
        _section("What the logins may do", "\n".join(map(_rights, shapes))),
        script_roles.claims_rights(asks_key, KEY_BYTES.signature),
        _section("Taken from PUBLIC, and kept by every role that is there today", script_public.revokes()),
        parts.SEALED,
        "COMMIT;",
    ]  # fmt: skip
    return "\n\n".join(sections) + "\n"


def undo_script(connection: str) -> str:
    """Return the script that takes back everything a set-up script did, whatever the rules were then."""
    begun = [script_public.undo_header(connection), parts.BEGIN, script_roles.joined((OWNER, VIEWS_OWNER))]
    return "\n\n".join([*begun, script_public.RESTORED, script_public.dropped(connection), "COMMIT;"]) + "\n"


def _section(title: str, text: str) -> str:
    return f"{_RULE}\n-- {title}.\n{_RULE}\n{text}"


def _login(connection: str, login: str, key: bytes) -> str:
    settings = [*LOGIN_SETTINGS, *(SUPERUSER_SETTINGS if SHAPE.fullmatch(login) else ())]
    return "\n".join(
        [
            f"COMMENT ON ROLE {login} IS {quoted_text(COMMENT.format(connection))};",
            f"ALTER ROLE {login} RESET ALL;",
            f"ALTER ROLE {login} LOGIN NOINHERIT CONNECTION LIMIT {CONNECTION_LIMIT} VALID UNTIL 'infinity'",
            f"  PASSWORD {quoted_text(scram_verifier(key, connection, login))};",
            *(f"ALTER ROLE {login} SET {name} = {quoted_text(value)};" for name, value in LOGIN_SETTINGS),
            *(script_roles.superuser_setting(login, name, value) for name, value in settings[len(LOGIN_SETTINGS) :]),
        ]
    )


def _shape(shape: GrantShape, views: Sequence[View], tools: Sequence[str]) -> str:
    used = f" of {', '.join(commented(tool) for tool in tools)}" if tools else ""
    return _section(f"Views{used}", parts.schema_with_views(shape.schema, views))


def _granted(views: Mapping[str, tuple[View, ...]]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    return grants_of(tuple(view for several in views.values() for view in several))


def _rights(shape: GrantShape) -> str:
    return script_roles.login_rights(shape.login, shape.schema, [function.signature for function in FOR_TOOLS])
