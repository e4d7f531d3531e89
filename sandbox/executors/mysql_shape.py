"""Through which databases and accounts does a tool read MariaDB? One login and one database a grant shape.

The set-up script makes them, the executor logs in as them, and `sandbox doctor` looks for them: all take the names from
here. `grant_shape.GrantShape` names a shape's login and its database: both are called `sandbox_` and 12 digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, final

from sandbox.executors.grant_shape import GrantShape

CLAIM: Final = "claim"
"""The function of a shape's database that tells one claim of the caller."""
KINDS: Final = "sandbox_kinds"
"""The function of a shape's database that tells what stands behind each of its views: tables or views."""
CANARY: Final = "sandbox_canary"
"""The view of a shape's database that `sandbox doctor` tries the shape's login on."""
SETTING: Final = "sandbox_claims"
"""The variable of a session that holds what the service signed."""


def own_database(connection: str) -> str:
    """Return the database with the claims' key, the canary and what `sandbox doctor` asks; one a connection."""
    return f"sandbox_own_{_digits(connection)}"


def views_owner(connection: str) -> str:
    """Return the account that the views and functions of a connection run as; nobody can log in as it."""
    return f"sandbox_views_{_digits(connection)}"


@final
class Kinds(NamedTuple):
    """What a plan believes to stand behind the views of its shape."""

    question: str
    """It opens the tables that are read: none of them can change until the transaction ends."""
    answer: str


def kinds_of(shape: GrantShape, views: frozenset[str], opened: Iterable[str]) -> Kinds:
    """Return what stands behind a shape's views, of which `views` were views when the tool was loaded, folded."""
    opening = "".join(f", (SELECT 1 FROM {quoted_name(table)} LIMIT 0)" for table in opened)  # noqa: S608 - quoted names
    question = f"SELECT {quoted_name(shape.schema)}.{KINDS}(){opening}"
    return Kinds(question, ",".join("view" if name in views else "table" for name in sorted(shape.rules)))


def quoted_name(name: str) -> str:
    """Return a name as one identifier, in backticks."""
    return "`" + name.replace("`", "``") + "`"


def view_names(shape: GrantShape) -> Mapping[str, str]:
    """Return the name of the view that stands for each table, by folded name: it is called like the table."""
    return {name: rule.table for name, rule in shape.rules.items()}


def _digits(connection: str) -> str:
    return hashlib.sha256(connection.encode()).hexdigest()[:12]
