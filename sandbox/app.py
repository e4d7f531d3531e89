"""Which implementation stands where? The composition root: the one place that opens a deployment."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, final

from sandbox.build import build_id
from sandbox.deployment import Deployment
from sandbox.doctor.selftest import SelfTest, SelfTestFailed, self_test
from sandbox.doors.http.metadata import bearer_rule
from sandbox.executors import Executors, read_catalogue
from sandbox.flow import Flow
from sandbox.identity import Authenticator
from sandbox.leases import Leases, read_assertions
from sandbox.limits import Counts, Limits
from sandbox.pipeline import Pipeline
from sandbox.policy import CedarPolicy, load_policies
from sandbox.reasons import Refused
from sandbox.receipts import (
    NO_PEERS,
    Calls,
    ExecutionLog,
    Generation,
    LogReader,
    Peers,
    Receipts,
    RecordKind,
    Retention,
    close_orphans,
    record_self_test,
)
from sandbox.settings import Settings, digest_of, read_settings
from sandbox.specs import Specs, SpecSet, load_connections, load_specs
from sandbox.telemetry.events import note
from sandbox.toolspec import Connection, Digest, ToolName


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One generation: what one set of specs, policies and connections makes. A reload replaces it whole."""

    pipeline: Pipeline
    specs: Specs
    policy: CedarPolicy
    executors: Executors
    connections: Mapping[str, Connection]
    digests: Mapping[tuple[str, str], str]
    """By kind and name: the configuration, the policies, and each tool's spec, for the reload event."""
    spec_set: SpecSet
    """Every tool, served or not."""
    unserved: Mapping[ToolName, tuple[str, ...]]
    """The tools that did not pass their self-test, and why."""

    def must_be_served(self) -> None:
        """Raise `SelfTestFailed` if a tool is not."""
        if self.unserved:
            raise SelfTestFailed(self.unserved)


def read_whole(
    deployment: Deployment, connections: Mapping[str, Connection], settings: Settings
) -> tuple[SpecSet, CedarPolicy]:
    """Read all specs and all policies, or raise `LintFailed`: what serves is whole, but for servers that are away."""
    specs = load_specs(deployment, connections, read_catalogue, settings)
    return specs, load_policies(deployment.policies, specs.all)


Read = Callable[[Deployment, Mapping[str, Connection], Settings], tuple[SpecSet, CedarPolicy]]
"""Reads the specs and policies of one generation; trials of one tool may read less than all."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What a process shares with others that serve the same deployment; nothing, where there are none."""

    counts: Callable[[Settings], Counts] | None = None
    """Makes what limits are counted in."""
    workers: int = 1
    """How many processes serve, this one included."""
    peers: Peers = NO_PEERS
    """Whom to ask about calls that do not run here."""


ALONE: Final = Company()


@final
class House:
    """An open deployment: what outlives reloads, and the current generation. Satisfies `doors.desk.Desk`."""

    def __init__(
        self,
        deployment: Deployment,
        settings: Settings,
        settings_source: bytes,
        read: Read = read_whole,
        company: Company = ALONE,
    ) -> None:
        """Open the log, then load everything; raises `Misconfigured` (or `LintFailed`) and leaves nothing open."""
        self.deployment = deployment
        self.settings = settings
        self._on_change: list[Callable[[], None]] = []
        self._settings_source = settings_source
        self._read = read
        self.guests = Authenticator(deployment, settings.identity, bearer=bearer_rule(settings.http))
        self._limits = Limits(settings.limits, counts=company.counts(settings) if company.counts else None)
        self._log = ExecutionLog.open(deployment, settings)
        self._workers = company.workers
        self.calls = Calls(self._log, company.peers)
        self.log = LogReader(self._log, deployment.checkpoint)
        self.retention = Retention(self._log)
        self._reloading = threading.Lock()
        self._recorded_test: tuple[bytes, Digest, Digest] | None = None
        try:
            self.loaded = self._load()
        except BaseException:
            self._log.close()
            raise
        company.peers.answer_with(self.calls.here)

    @classmethod
    def open(
        cls,
        root: Path,
        change: Callable[[Settings], Settings] = lambda same: same,
        *,
        state_elsewhere: Path | None = None,
        read: Read = read_whole,
        company: Company = ALONE,
    ) -> Self:
        """Open the deployment in `root`; `change` may override settings for this process."""
        deployment = Deployment(root.resolve(), state_elsewhere)
        settings, source = read_settings(deployment.settings)
        return cls(deployment, change(settings), source, read, company)

    @property
    def pipeline(self) -> Pipeline:
        """The way of a call, of the current generation."""
        return self.loaded.pipeline

    @property
    def rules(self) -> CedarPolicy:
        """Who may, of the current generation."""
        return self.loaded.policy

    @property
    def tools(self) -> Specs:
        """What there is, of the current generation."""
        return self.loaded.specs

    def reload(self) -> None:
        """Load specs, policies and connections anew, all or nothing: on `LintFailed` the last good set stays.

        Calls under way finish with the generation they began with. Raises `SelfTestFailed` where what was loaded is in
        force, but for some of its tools.
        """
        with self._reloading:
            before, self.loaded = self.loaded, self._load()
            before.executors.close()  # calls under way give their sessions back to be closed
            _tell_changes(before.digests, self.loaded.digests)
            _tell_served(before.unserved, self.loaded)
            for callback in self._on_change:
                callback()
            del before
            gc.collect()  # a generation has cycles, and the collector looks for them rarely
            self.loaded.must_be_served()

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back after each reload, from its thread; the callback returns at once."""
        self._on_change.append(callback)

    def test_again(self) -> None:
        """Test the tools in force again, and reload where that ends otherwise; raises as `reload` does.

        While it ends as before, nothing is let go of that the tools which are served have warmed.
        """
        with self._reloading:
            loaded = self.loaded
            away = _still_away(loaded.connections, loaded.spec_set.away)
            tested = self._tested(loaded.connections, replace(loaded.spec_set, away=away), loaded.executors)
        if tested.failures != loaded.unserved:
            self.reload()
        self.loaded.must_be_served()

    def close_orphans(self) -> int:
        """Close the open intents of processes that are gone; before anything is served. Returns how many there were."""
        return close_orphans(self._log)

    def close(self) -> None:
        """Write what is counted and close the log."""
        try:
            self.loaded.executors.close()
        finally:
            self._log.close()

    def _load(self) -> Loaded:
        connections, connections_source = load_connections(self.deployment, self.settings)
        spec_set, policy = self._read(self.deployment, connections, self.settings)
        with ExitStack() as unless_whole:
            assertions = read_assertions(connections, self.deployment.assertion_key, self.settings.identity.issuer)
            leases = Leases(connections, self.deployment.lease_key, assertions)
            spend = self._limits.spend_cold_parse
            executors = Executors(connections, spec_set.tools, self.settings, spend, leases, workers=self._workers)
            unless_whole.callback(executors.close)
            tested = self._tested(connections, spec_set, executors)
            specs = Specs(spec_set.all, self.settings.arguments, tested.failures, spec_set.unheld)
            generation = self._enrolled(spec_set, policy, connections_source)
            self._record(tested, generation)
            pipeline = Pipeline(
                identity=self.guests,
                receipts=Receipts(self._log, generation),
                specs=specs,
                limits=self._limits,
                flow=Flow(),
                executors=executors,
                policy=policy,
                leases=leases,
            )
            unless_whole.pop_all()
        digests = {("configuration", ""): generation.config_digest, ("policies", ""): policy.digest}
        digests |= {("tool", str(spec.name)): spec.digest for spec in spec_set.all.values()}
        return Loaded(
            pipeline=pipeline,
            specs=specs,
            policy=policy,
            executors=executors,
            connections=connections,
            digests=digests,
            spec_set=spec_set,
            unserved=tested.failures,
        )

    def _tested(self, connections: Mapping[str, Connection], spec_set: SpecSet, executors: Executors) -> SelfTest:
        unfit = executors.rehearse()
        key = self.deployment.lease_key
        return self_test(connections, spec_set, executors.ready, unfit, lease_key=key, bounds=self.settings.sql)

    def _record(self, tested: SelfTest, generation: Generation) -> None:
        """Put a self-test on record, unless this process has just put the very same one there."""
        facts = (tested.report, generation.policy_digest, generation.config_digest)
        if facts != self._recorded_test:
            record_self_test(self._log, generation, tested.report, len(tested.failures))
            self._recorded_test = facts

    def _enrolled(self, spec_set: SpecSet, policy: CedarPolicy, connections_source: bytes) -> Generation:
        """Put the bytes of everything that is in force from here on into the log, as they were read."""
        configuration = {"sandbox.toml": self._settings_source, "connections.toml": connections_source}
        return Generation(
            build=build_id(),
            spec_indexes={
                spec.digest: self._log.enroll(RecordKind.SPEC, f"toolspecs/{spec.file}", spec.source)
                for spec in spec_set.all.values()
            },
            policy_digest=policy.digest,
            policy_indexes=self._enroll(RecordKind.POLICY, policy.sources),
            config_digest=digest_of(*configuration.values()),
            config_indexes=self._enroll(RecordKind.CONFIG, configuration),
            specs=spec_set.all,
        )

    def _enroll(self, kind: RecordKind, sources: Mapping[str, bytes]) -> tuple[int, ...]:
        return tuple(self._log.enroll(kind, name, source) for name, source in sources.items())


def _still_away(connections: Mapping[str, Connection], away: Iterable[str]) -> Mapping[str, str]:
    """Return those of the connections that are `away` which still are, each with why."""
    still: dict[str, str] = {}
    for name in away:
        try:
            read_catalogue(connections[name])
        except Refused as refused:
            still[name] = refused.message
    return still


def _tell_served(unserved: Iterable[ToolName], loaded: Loaded) -> None:
    """Tell of the tools that were not served and are now, as their failing was told."""
    for tool in unserved:
        if tool in loaded.specs.tools:
            note("tool served", tool=tool)


def _tell_changes(before: Mapping[tuple[str, str], str], after: Mapping[tuple[str, str], str]) -> None:
    for kind, name in sorted(before.keys() | after.keys()):
        was, now = before.get((kind, name), ""), after.get((kind, name), "")
        if was != now:
            note("reloaded", kind=kind, name=name, before=was, after=now)
