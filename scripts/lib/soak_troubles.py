"""What happens to the service meanwhile? Workers are killed, specs rewritten, tokens revoked, its log archived."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final, final

from held import Ledger, LogRead, sandbox, watched
from served import Served, memory_mib
from soak_lanes import Callers
from soak_tools import BY_ID, BY_ID_SPEC

from sandbox.client import ClientError, NotAuthenticated, Unavailable
from sandbox.deployment import Deployment
from sandbox.identity.enrolment import Scope, write_token
from sandbox.identity.inspection import token_id_of
from sandbox.identity.revocations import Revocations
from sandbox.settings import read_settings

GOOD_FOR_S: Final = 9.0
BROKEN_FOR_S: Final = 4.0
START_S: Final = 4.0
"""So long a spec stays whole after a kill. A worker that cannot start is tried ever more rarely (proven by tests); here
the workers are to be as old at each kill as at the one before."""
REVOKE_EVERY_S: Final = 10.0
LET_IN_WITHIN_S: Final = 10.0
REVOKED_WITHIN_S: Final = 1.0
"""Beyond `identity.cache_seconds`, for a machine that is busy."""
AGAIN_S: Final = 0.1
MISSING_FOR_S: Final = 60.0
"""A worker that has not started again for so long, twice what the parent waits at most, will not."""
BROKEN_VERSION: Final = "99.0.0"
BROKEN: Final = BY_ID_SPEC.replace("1.0.0", BROKEN_VERSION).replace("connection: shop", "connection: nowhere")


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """The memory of all processes just before a kill, when every worker has lived as long as at the kill before."""

    at_s: float
    calls: int
    kills: int
    parent_mib: float
    kept_mib: float
    """Of the worker that is never killed."""
    others_mib: float
    """Of the workers that are killed in turns, together."""

    @property
    def whole_mib(self) -> float:
        """Return the memory of the whole service."""
        return self.parent_mib + self.kept_mib + self.others_mib


@final
@dataclass
class Troubles:
    """All that happens beside the calls, until told to end."""

    service: Served
    callers: Callers
    kill_every_s: float
    archive_every_s: float
    read: LogRead
    """What the log held before its payloads were removed."""
    samples: list[Sample] = field(default_factory=list)
    kills: int = 0
    reloads: int = 0
    refused_reloads: int = 0
    revocations: int = 0
    audits: int = 0
    archives: int = 0
    begun_at: float = field(default_factory=monotonic)
    _is_whole: threading.Lock = field(default_factory=threading.Lock)
    """Held while the spec is broken, and while a worker starts that must find it whole."""

    def threads(self) -> list[threading.Thread]:
        """Return a thread for each kind of trouble."""
        troubles = (self._kill, self._reload, self._revoke, self._archive)
        return [watched(self._ledger, each.__name__, each) for each in troubles]

    @property
    def _deployment(self) -> Deployment:
        return self.callers.deployment

    @property
    def _ledger(self) -> Ledger:
        return self.callers.ledger

    def _kill(self) -> None:
        kept, *others = self.service.workers()
        whole_at = monotonic()
        due = monotonic()
        while not self.callers.ending.wait(max(0.0, (due := due + self.kill_every_s) - monotonic())):
            first, *killed_in_turns = self.service.workers()
            if first != kept:
                self._ledger.wrong.append("the worker that nobody killed has ended")
                return
            if len(killed_in_turns) == len(others):
                whole_at = monotonic()
                self._sample(kept, killed_in_turns)
                with self._is_whole:
                    os.kill(killed_in_turns[0], signal.SIGKILL)
                    self.kills += 1
                    self.callers.ending.wait(min(START_S, self.kill_every_s / 2))
            elif monotonic() - whole_at > MISSING_FOR_S:
                self._ledger.wrong.append(f"a worker that was killed has not started again for {MISSING_FOR_S:g} s")

    def _sample(self, kept: int, others: list[int]) -> None:
        self.samples.append(
            Sample(
                at_s=monotonic() - self.begun_at,
                calls=self._ledger.calls(),
                kills=self.kills,
                parent_mib=memory_mib(self.service.process.pid),
                kept_mib=memory_mib(kept),
                others_mib=sum(map(memory_mib, others)),
            )
        )

    def _reload(self) -> None:
        """Rewrite a spec: a good one, which calls must be decided under, then a broken one, under which none may."""
        spec = self._deployment.toolspecs / f"{BY_ID}.yaml"
        seen = self.callers.versions
        version = self._write(spec)
        while not self.callers.ending.wait(GOOD_FOR_S):
            if version not in seen:
                self._ledger.wrong.append(f"no call was decided under version {version} of the spec")
            with self._is_whole:
                spec.write_text(BROKEN, "utf-8")
                self.refused_reloads += 1
                self.callers.ending.wait(BROKEN_FOR_S)
                version = self._write(spec)
        if BROKEN_VERSION in seen:
            self._ledger.wrong.append("a call was decided under a spec that is broken")

    def _write(self, spec: Path) -> str:
        """Write the next version of the spec, and return it."""
        self.reloads += 1
        version = f"1.0.{self.reloads}"
        spec.write_text(BY_ID_SPEC.replace("1.0.0", version), "utf-8")
        return version

    def _revoke(self) -> None:
        """Let somebody new in, revoke their token, and see that they are out in time."""
        settings, _ = read_settings(self._deployment.settings)
        scope = Scope(roles=("agent",), tools=("*",), claims={"region": "EU"}, actors=())
        while not self.callers.ending.is_set():
            name = f"leaver-{self.revocations + 1}"
            write_token(self._deployment, settings.identity, name, scope, lifetime_s=3600)
            if not self._is_let_in(name):
                self._ledger.wrong.append(f"{name} was never let in")
            Revocations(self._deployment.revocations).revoke(token_id_of(self._deployment, name))
            self.revocations += 1
            out_at = monotonic() + settings.identity.cache_seconds + REVOKED_WITHIN_S
            if not self.callers.ending.wait(out_at - monotonic()) and self._is_let_in(name):
                self._ledger.wrong.append(f"{name} was let in after the token had been revoked")
            self.callers.ending.wait(REVOKE_EVERY_S)

    def _is_let_in(self, name: str) -> bool:
        give_up = monotonic() + LET_IN_WITHIN_S
        while monotonic() < give_up:
            with suppress(Unavailable), self.callers.client(name) as client:
                try:
                    self._ledger.take("new token", client.call(BY_ID, {"id": 1}))
                except NotAuthenticated:
                    return False
                except ClientError as error:
                    if isinstance(error, Unavailable):
                        raise
                    self._ledger.wrong.append(f"{name}: {error}")
                return True
            self.callers.ending.wait(AGAIN_S)
        return False

    def _archive(self) -> None:
        """Audit the log from what the last audit remembered, then archive it and remove its payloads, in turns."""
        root = self._deployment.root
        key, remembered, archive = self._deployment.keys / "log.vkey", root / "remembered", root / "archive"
        audit = ("log", "audit", "--key", str(key))
        while not self.callers.ending.wait(self.archive_every_s):
            self.audits += self._is_done(*audit, "--remember", str(remembered))
            if self.callers.ending.wait(self.archive_every_s):
                return
            self.read.read_on()
            before = str(len(self.read.digests))
            if self._is_done("log", "archive", str(archive), "--before", before, "--prune"):
                self.archives += self._is_done(*audit, "--archive", str(archive))
                shutil.rmtree(archive)  # one that failed stays: it may hold all that is left of the payloads

    def _is_done(self, *command: str) -> bool:
        done = sandbox(self._deployment, *command)
        if done.returncode:
            self._ledger.wrong.append(f"{' '.join(command[:2])}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.returncode == 0
