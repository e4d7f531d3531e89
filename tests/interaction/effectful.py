"""A tool with effects before there is one: a real house whose SQL tool is taken for a writing one, and what it does.

Run with a deployment and a file, it begins a call that writes a line to the file and never ends.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from sandbox.app import House
from sandbox.deployment import Deployment
from sandbox.executors import Executors
from sandbox.specs import Specs
from sandbox.stages import (
    AuthenticatedCall,
    AuthorizedCall,
    Cancellation,
    Credential,
    ExecutedCall,
    Lease,
    PlannedCall,
    ProposedCall,
    ResultColumn,
    TracedCall,
    Truncation,
    ValidatedCall,
)

Act = Callable[[AuthorizedCall], None]
TOOL = "shop.order"
ARGUMENTS = b'{"id":1}'


class Writing:
    """Takes every call for one of a tool with effects."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs

    def validate(self, authenticated: AuthenticatedCall) -> ValidatedCall:
        validated = self._specs.validate(authenticated)
        spec = dataclasses.replace(validated.spec, effects="write")
        return msgspec.structs.replace(validated, spec=spec)


class Effectful:
    """Plans like the real executors, and does what it was given instead of asking a database."""

    def __init__(self, executors: Executors, act: Act) -> None:
        self._executors = executors
        self._act = act

    def plan(self, traced: TracedCall) -> PlannedCall:
        return self._executors.plan(traced)

    def execute(self, authorized: AuthorizedCall, lease: Lease) -> ExecutedCall:
        authorized.spend()
        self._act(authorized)
        return ExecutedCall(
            authorized=authorized,
            columns=(ResultColumn("done", "text", ""),),
            rows=(("yes",),),
            truncation=Truncation.NONE,
            lease_digest=lease.digest,
            execute_us=1,
        )


def make_effectful(house: House, act: Act) -> None:
    """Let every call of the house's tools be one with effects, which does `act`."""
    loaded = house.loaded
    pipeline = dataclasses.replace(
        loaded.pipeline, specs=Writing(loaded.specs), executors=Effectful(loaded.executors, act)
    )
    house.loaded = dataclasses.replace(loaded, pipeline=pipeline)


def proposed(deployment: Deployment, request_id: str = "") -> ProposedCall:
    """A call of the agent's, as a door would propose it."""
    certificate = (deployment.pki / "clients" / "agent.pem").read_bytes()
    token = (deployment.tokens / "agent.jwt").read_text("ascii").strip()
    return ProposedCall(
        door="grpc",
        credential=Credential(certificate, token),
        tool=TOOL,
        arguments_json=ARGUMENTS,
        request_id=request_id,
        validate_only=False,
        cancellation=Cancellation(),
        received_at=time.monotonic(),
    )


def writes_a_line(file: Path) -> Act:
    """An act whose effect can be counted."""

    def act(_: AuthorizedCall) -> None:
        with file.open("a", encoding="ascii") as lines:
            lines.write("done\n")

    return act


def main(root: Path, file: Path) -> None:
    house = House.open(root)

    def act(authorized: AuthorizedCall) -> None:
        writes_a_line(file)(authorized)
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        sys.stdin.read()  # for ever: nobody closes it

    make_effectful(house, act)
    house.pipeline.run(proposed(house.deployment, "r1"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
