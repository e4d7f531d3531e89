"""How does the service live? Opened, announced by one `ready` line, reloaded when files change, drained at the end."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias, final

import watchfiles

from sandbox.app import ALONE, Company, House
from sandbox.deployment import Deployment, Misconfigured
from sandbox.doctor.selftest import SelfTestFailed
from sandbox.doors.opened import Doors, open_doors
from sandbox.doors.rpc.server import AddMore, add_nothing
from sandbox.endings import SAME_ENDING_S, Endings
from sandbox.leases.afterwards import RETURNS
from sandbox.presence import Addresses, alone, announced, deployment_in
from sandbox.problems import LintFailed
from sandbox.reasons import Refused
from sandbox.settings import Settings
from sandbox.telemetry.events import broke, note, take_libraries, warn, warn_often
from sandbox.tidying import Tidying, share_heaps

BENCH_GRACE_S: Final = 1.0

FIRST_RETRY_S: Final = 1.0
"""When a reload that failed is tried again; each further try waits twice as long."""
MAX_RETRY_S: Final = 60.0
LOOK_EVERY_MS: Final = 1_000
"""How often the watcher looks whether a retry is due."""


@contextmanager
def opened(
    root: Path,
    *,
    listen: str = "",
    grace_s: float = BENCH_GRACE_S,
    add_more: AddMore = add_nothing,
) -> Iterator[Doors]:
    """Open the deployment and its doors for the block; calls running at the end get `grace_s` seconds."""
    with opened_house(root, listen=listen, grace_s=grace_s, add_more=add_more) as (_, doors):
        yield doors


@contextmanager
def opened_house(
    root: Path,
    *,
    listen: str = "",
    grace_s: float = BENCH_GRACE_S,
    add_more: AddMore = add_nothing,
) -> Iterator[tuple[House, Doors]]:
    """Open like `opened`, and give the house too."""
    with (
        # INVARIANT: alone before anything is opened, for whoever opens the house writes to the log.
        alone(deployment_in(root)),
        open_house(root, listen=Addresses(listen), grace_s=grace_s, add_more=add_more) as (house, doors),
        announced(house.deployment, doors.address),
    ):
        yield house, doors


@contextmanager
def open_house(
    root: Path,
    *,
    listen: Addresses,
    grace_s: float,
    add_more: AddMore = add_nothing,
    company: Company | None = None,
) -> Iterator[tuple[House, Doors]]:
    """Open house and doors for whoever is `alone` already; as one of a `company`, on a port that it shares."""

    def listening(settings: Settings) -> Settings:
        server = settings.server.model_copy(update={"listen": listen.grpc or settings.server.listen})
        http = settings.http.model_copy(update={"listen": listen.http or settings.http.listen})
        return settings.model_copy(update={"server": server, "http": http})

    share_heaps()
    with ExitStack() as stack:
        house = House.open(root, listening, company=company or ALONE)
        stack.callback(house.close)
        house.close_orphans()
        _spare_the_collector()
        house.log.publish()
        stack.callback(house.log.publish)
        stack.enter_context(house.retention.kept_up())
        shares_port = company is not None
        doors = open_doors(house, house.deployment, house.settings, add_more, shares_port=shares_port)
        stack.callback(doors.close, grace_s)
        yield house, doors


def _spare_the_collector() -> None:
    """Keep what lives as long as the process out of the cyclic collector's sight, and let it look less often.

    Calls make no cycles, but for a new SQL text's tree; looking for some took 8 % of the CPU of a call
    (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def serve_forever(root: Path, *, listen: str, grace_s: float) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, whose second ends the grace; see `sandbox serve`."""
    endings, ending = Endings(), threading.Event()
    take_libraries()
    opened_at = stamps(Deployment(root.resolve()))
    with opened_house(root, listen=listen, grace_s=grace_s) as (house, doors):
        watcher = watch(house, ending, opened_at)
        tools = len(house.loaded.specs.tools)
        sys.stdout.write(f"ready {doors.addresses.told} tools={tools} pid={os.getpid()}\n")
        sys.stdout.flush()
        endings.wait()
        ending.set()
        note("draining", grace_s=grace_s, hint="another signal ends it at once")
        threading.Thread(target=_hurry, args=(endings, doors), daemon=True, name="hurry").start()
    watcher.join(timeout=5)


def watch(house: House, ending: threading.Event, opened_at: frozenset[Stamp]) -> threading.Thread:
    """Reload the house on changes since `opened_at`, until it is ending."""
    watching = (house, ending, opened_at)
    watcher = threading.Thread(target=_reload_on_change, args=watching, daemon=True, name="watcher")
    watcher.start()
    return watcher


def _hurry(endings: Endings, doors: Doors) -> None:
    one_and_the_same_until = time.monotonic() + SAME_ENDING_S
    endings.wait()
    while time.monotonic() < one_and_the_same_until:
        endings.wait()
    note("ending at once")
    doors.hurry()
    RETURNS.hurry()


Stamp: TypeAlias = tuple[str, int, int, int]
"""Of a file: path, inode, size and the time of the last change."""


def stamps(deployment: Deployment) -> frozenset[Stamp]:
    """Return what changes with what is read; nothing where that cannot be listed."""
    with suppress(OSError):
        paths = [deployment.connections, *deployment.toolspecs.iterdir(), *deployment.policies.iterdir()]
        return frozenset(map(_stamp, paths))
    return frozenset()


def _stamp(path: Path) -> Stamp:
    try:
        fact = path.stat()
    except OSError:  # gone meanwhile, or a link to nothing
        return str(path), 0, 0, 0
    return str(path), fact.st_ino, fact.st_size, fact.st_mtime_ns


def _reload_on_change(house: House, ending: threading.Event, seen: frozenset[Stamp]) -> None:
    """Reload when specs, policies or connections change; keep the last good set when they do not pass lint.

    `seen` is what there was before the house was opened: what changed since was perhaps not read.
    """
    reloader = Reloader(house.reload, house.test_again)
    reloader.begin(house.loaded.must_be_served)
    tidying = Tidying()
    while not ending.is_set():
        try:
            for is_changed in _changes(house.deployment, ending, seen):
                tidying.tick()
                if is_changed:
                    reloader.changed()
                else:
                    reloader.tick()
        except Exception as error:  # noqa: BLE001 - a folder vanished, the system has no watch left, or worse
            warn_often("watching failed", type(error).__name__)
            seen = frozenset()  # nobody looked for a while
            ending.wait(FIRST_RETRY_S)


def _changes(deployment: Deployment, ending: threading.Event, seen: frozenset[Stamp]) -> Iterator[bool]:
    """Yield whether something that is read has changed, every `LOOK_EVERY_MS` at the latest."""
    rereads = {deployment.toolspecs, deployment.policies}
    is_unseen: bool | None = None
    """Something changed while nobody watched; not known before the watch has begun."""
    while not ending.is_set():
        # WHY: the folder of connections.toml is watched, not the file, for editors replace files and a watch dies with
        # one. It tells of the other two as well: one that is swapped for another is a folder nobody watches yet.
        folders = [deployment.root, *filter(Path.is_dir, rereads)]
        for changes in watchfiles.watch(
            *folders,
            stop_event=ending,
            recursive=False,
            raise_interrupt=False,
            rust_timeout=LOOK_EVERY_MS,
            yield_on_timeout=True,
        ):
            if is_unseen is None:
                is_unseen = stamps(deployment) != seen
            paths = {Path(path) for _, path in changes}
            if not rereads.isdisjoint(paths):
                is_unseen = True
                break
            yield is_unseen or deployment.connections in paths or any(path.parent in rereads for path in paths)
            is_unseen = False


@final
class Reloader:
    """Loads what has changed; tries again what could not be loaded, for a cause may pass without another change.

    A file can be missing while an editor writes it, a database locked, a table not yet made.
    """

    def __init__(
        self,
        reload: Callable[[], None],
        test_again: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load with `reload`, which takes everything or raises; `test_again` what is in force but for some tools."""
        self._reload = reload
        self._test_again = test_again
        self._next = reload
        self._now = now
        self._retry_at = float("inf")
        self._delay_s = FIRST_RETRY_S
        self._told = ""
        self._is_refused = False

    def changed(self) -> bool:
        """Load now; whether the new set is in force. The last good set stays otherwise, and operators are told why."""
        self._delay_s, self._told = FIRST_RETRY_S, ""
        return self._try(self._reload)

    def tick(self) -> None:
        """Try again if it is time; tells operators only of what they have not been told about this change."""
        if self._now() >= self._retry_at:
            self._try(self._next)

    def begin(self, must_be_whole: Callable[[], None]) -> None:
        """Take what was opened for a first try, which failed where `must_be_whole` raises."""
        self._try(must_be_whole)

    def _try(self, attempt: Callable[[], None]) -> bool:
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 - a watcher that dies would never reload again
            self._put_off(error)
            return False
        self._retry_at = float("inf")
        if self._is_refused:
            self._is_refused = False
            note("reload accepted")
        return True

    def _put_off(self, error: Exception) -> None:
        self._is_refused = not isinstance(error, SelfTestFailed)
        self._next = self._test_again if isinstance(error, SelfTestFailed) else self._reload
        self._retry_at = self._now() + self._delay_s
        self._delay_s = min(self._delay_s * 2, MAX_RETRY_S)
        problem, told = f"{type(error).__name__}: {error}", self._told
        self._told = problem
        if problem != told:
            with suppress(Exception):  # telling must not keep the next try from coming
                _tell(error)


def _tell(error: Exception) -> None:
    match error:
        case SelfTestFailed():
            for tool, failures in error.failures.items():
                for failure in failures:
                    warn("tool not served", tool=tool, failure=failure)
        case LintFailed():
            for p in error.problems:
                warn("reload refused", file=p.file, line=p.line, rule=p.rule, problem=p.message)
        case Misconfigured() | Refused() | OSError():
            warn("reload refused", problem=str(error))
        case _:
            broke("reload failed", error)
