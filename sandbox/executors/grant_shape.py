"""As whom, and through which views, does a tool read a database of a server? One login and one schema a grant shape.

The set-up script makes them, the executor logs in as them, the gate prints statements for them, and `sandbox doctor`
looks for them: all four take the names from here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final

from sandbox.toolspec import TableRule

_FORMAT: Final = 1


@final
@dataclass(frozen=True, slots=True)
class GrantShape:
    """What some tools of one connection may read, in rows, columns and masks. Tools with the same rules share it."""

    id: str
    """12 hexadecimal digits that name it."""
    rules: Mapping[str, TableRule]
    """By folded name."""
    views: Mapping[str, tuple[str, str]]
    """(schema, name) of the view that stands for each table, by folded name: it is called like the table."""

    @property
    def login(self) -> str:
        """The role that its statements run as."""
        return _name(self.id)

    @property
    def schema(self) -> str:
        """The schema of its views, which MariaDB calls a database."""
        return _name(self.id)


def grant_shape(connection: str, rules: Mapping[str, TableRule]) -> GrantShape:
    """Return the shape of a tool's table rules on the connection of that name."""
    facts = [
        _FORMAT,
        connection,
        sorted(
            [rule.table, list(rule.columns), rule.row_filter, sorted(rule.masks.items())] for rule in rules.values()
        ),
    ]
    shape_id = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
    views = {name: (_name(shape_id), rule.table) for name, rule in rules.items()}
    return GrantShape(shape_id, rules, MappingProxyType(views))


def _name(shape_id: str) -> str:
    return f"sandbox_{shape_id}"
