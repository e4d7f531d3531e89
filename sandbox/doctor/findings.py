"""What does the doctor tell of a connection? Findings: each names what is wrong, and the statement that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, final

from sandbox.executors.grant_shape import GrantShape
from sandbox.executors.ready import ReadyTool

Level = Literal["error", "warning"]
RUN_AGAIN: Final = "sandbox doctor --setup-sql {}"
"""Its script is run again."""
NOT_SET_UP: Final = "not-set-up"


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    check: str
    """A stable name of the check that found it."""
    message: str
    mend: str
    """A statement for the administrator, or the command that prints it."""
    level: Level = "error"


class Undecided(Exception):
    """The database could not be looked at; says why, and nothing of the dsn."""


def not_set_up(connection: str) -> Finding:
    """Return the one finding that stands for all that the script makes and takes away."""
    message = (
        "nothing of the set-up script is in this database; its administrator runs it, and all else is looked at then"
    )
    return Finding(NOT_SET_UP, message, RUN_AGAIN.format(connection))


def shapes_of(tools: Iterable[ReadyTool]) -> list[GrantShape]:
    """Return the grant shapes of tools, each once."""
    shapes = {tool.shape.id: tool.shape for tool in tools if tool.shape is not None}
    return [shapes[key] for key in sorted(shapes)]
