"""What does a look at a MariaDB server see? What each login is told of itself, and what the views' owner tells.

No login of ours reads the server's own tables of rights: a login's `SHOW GRANTS` tells its rights, and a function that
runs as the views' owner tells the owner's, with the views and functions that there are.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple, final

from sandbox.doctor.findings import RUN_AGAIN, Undecided
from sandbox.doctor.mysql_functions import LOOK, Function, functions_of_shape, own_functions
from sandbox.doctor.mysql_views import View
from sandbox.executors.ending import Over
from sandbox.executors.grant_shape import GrantShape
from sandbox.executors.mysql_shape import own_database, quoted_name, views_owner
from sandbox.executors.mysql_talk import Failed, Talk, state
from sandbox.executors.mysql_trouble import SENTENCES
from sandbox.executors.server_trouble import Gone
from sandbox.leases import Server
from sandbox.leases.keys import claims_login, login_password
from sandbox.stages import Cancellation
from sandbox.values import JsonValue

SECONDS: Final = 30.0
"""Within which each login's questions are answered."""
_GRANT: Final = re.compile(r"GRANT (?P<rights>.+?) ON (?P<what>\S+|FUNCTION \S+|PROCEDURE \S+) TO ")


class Grant(NamedTuple):
    """A right that a login is told it has."""

    right: str
    """In capitals, such as `SELECT`; the whole line where it is no right on anything, such as a role."""
    what: str
    """As the server writes it, such as `*.*`."""


@final
@dataclass(frozen=True, kw_only=True)
class Look:
    """One server, and what it should be like."""

    connection: str
    database: str
    dsn: Talk
    """Of the dsn's login."""
    server: Server = field(repr=False)
    lease_key: bytes = field(repr=False)
    shapes: Sequence[GrantShape]
    views: Mapping[str, tuple[View, ...]]
    """By shape id."""

    @property
    def own(self) -> str:
        """The sandbox's own database."""
        return own_database(self.connection)

    @property
    def owner(self) -> str:
        """The account that views run as, as the server writes it."""
        return f"{views_owner(self.connection)}@localhost"

    @property
    def claims_login(self) -> str:
        """The one that may ask for the key of the claims."""
        return claims_login(self.connection)

    @property
    def run_again(self) -> str:
        """The command whose script mends what has no statement of its own."""
        return RUN_AGAIN.format(self.connection)

    @property
    def all_views(self) -> list[View]:
        """The views of every shape."""
        return [view for shape in self.shapes for view in self.views[shape.id]]

    @property
    def all_functions(self) -> list[Function]:
        """The functions of every shape, and our own."""
        of_shapes = [one for s in self.shapes for one in functions_of_shape(self.connection, self.database, s)]
        return [*own_functions(self.connection), *of_shapes]

    @property
    def outdated(self) -> list[str]:
        """Databases that an earlier script made and no tool uses any more."""
        return sorted({row[0] for row in self.told("noted")} - {shape.schema for shape in self.shapes})

    def log_in(self, login: str, database: str) -> Talk | None:
        """Return a session of a login of ours; None if it is not let in. Raises `Undecided` where it may be later."""
        password = login_password(self.lease_key, self.connection, login, "mysql").reveal()
        try:
            talk = Talk(self.server.parameters, (login, password, database), time.monotonic() + SECONDS, Cancellation())
            settle(talk)
        except (Gone, Over) as error:
            if isinstance(error, Gone) and error.was_refused:
                return None
            trouble = error.trouble if isinstance(error, Gone) else "timed_out"
            raise Undecided(f"the server does not let {login} in now: {SENTENCES[trouble]}") from error
        return talk

    @cached_property
    def seen(self) -> Mapping[str, list[JsonValue]] | None:
        """What the views' owner tells; None where nobody can be asked for it."""
        talk = self.log_in(self.claims_login, self.own)
        if talk is None:
            return None
        try:
            ((told,),) = talk.ask(f"SELECT {quoted_name(self.own)}.{LOOK}()")
        except Failed:
            return None
        finally:
            talk.wire.close()
        read = json.loads(told or "{}")
        return {name: json.loads(part) if isinstance(part, str) else part or [] for name, part in read.items()}

    def told(self, part: str) -> set[tuple[str, ...]]:
        """Return one part of what the views' owner tells, as rows of texts."""
        rows = (self.seen or {}).get(part, [])
        return {tuple(map(str, row)) if isinstance(row, list) else (str(row),) for row in rows}


def settle(talk: Talk) -> None:
    """Bring a session of ours into the state that its questions are asked in."""
    commands = state(SECONDS, 1_000_000)
    talk.wire.send(*commands)
    for _ in commands:
        try:
            talk.done()
        except Failed as error:
            raise Gone from error


def grants_of(talk: Talk) -> list[Grant]:
    """Return what the login of a session is told that it may, whether by name or as anybody; raises `Failed`."""
    lines = [str(line) for query in ("SHOW GRANTS", "SHOW GRANTS FOR PUBLIC") for (line,) in talk.ask(query)]
    found = []
    for line in lines:
        parts = _GRANT.match(line)
        if parts is None or "WITH GRANT OPTION" in line:
            found.append(Grant(re.sub(r" IDENTIFIED .*", "", line), ""))
            continue
        rights = re.sub(r"\(.*?\)", "", parts["rights"]).split(",")
        found += [Grant(right.strip(), parts["what"]) for right in rights]
    return [grant for grant in dict.fromkeys(found) if grant != Grant("USAGE", "*.*")]
