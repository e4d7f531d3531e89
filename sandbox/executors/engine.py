"""What must an engine's file offer? One class an engine, that knows how to read, confine and run there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

from sandbox.reasons import Reason, Refused
from sandbox.sql import Catalogue
from sandbox.stages import Cancellation, Lease, ResultColumn, SqlPlan, Truncation
from sandbox.toolspec import Connection, Digest, TableRule
from sandbox.values import Row


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """All that one tool may reach on its target, whatever a statement says."""

    key: Digest
    """Of the tool's spec: what was opened for one is never used for another."""
    tables: Mapping[str, TableRule]
    """By folded name."""
    views: frozenset[str]
    """Those of the tables that were views when the tool was loaded, folded; any other that becomes one is not read."""
    max_bytes: int
    """Of one result; no value of a statement need be larger."""


class Fetched(NamedTuple):
    """What came back, within bounds."""

    columns: tuple[ResultColumn, ...]
    rows: tuple[Row, ...]
    truncation: Truncation


class NotSetUp(Refused):
    """A database has not what the set-up script makes: `EXECUTOR_UNAVAILABLE`, in the words of whoever mends it."""

    def __init__(self, what: str, mend: str) -> None:
        """Say `what` is missing, which callers may know, and what an operator runs."""
        super().__init__(Reason.EXECUTOR_UNAVAILABLE, f"{what}; {mend}")
        self.what = what


class PlanStale(Exception):
    """The target does not take a proven plan: it changed since the catalogue was read, or it reads SQL differently."""


class Executor(Protocol):
    """Runs plans on one target. Made by an `Engine`; opens nothing until asked."""

    def read_catalogue(self, seconds: float = 10.0) -> Catalogue:
        """Read what the target has now, within `seconds` or so; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
        ...

    def rehearse(self, confinement: Confinement, lease: Lease, seconds: float = 10.0) -> None:
        """Confine and let go, so that rules the target cannot keep are found at load; raises as `run` does.

        A server is waited for so many seconds.
        """
        ...

    def run(self, plan: SqlPlan, confinement: Confinement, lease: Lease, cancellation: Cancellation) -> Fetched:
        """Run a plan with a lease until it ends, or rows, bytes, time or patience do.

        Raises `Refused`, never with the engine's own words, which quote hidden rows; `PlanStale` before anything ran.
        """
        ...

    def forget(self) -> None:
        """Let go of everything opened under the present catalogue; calls under way end first."""
        ...

    def close(self) -> None:
        """Let go of the target for good; calls under way end first."""
        ...


class Engine(Protocol):
    """Makes executors of one kind."""

    def __call__(self, connection: Connection, workers: int = 1) -> Executor:
        """Make the executor of a target that so many processes of the service ask alike."""
        ...
