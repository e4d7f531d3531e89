"""How does the service live? Opened, announced by one `ready` line, reloaded when files change, drained at the end."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias, final

import watchfiles

from sandbox.app import House
from sandbox.deployment import Deployment, Misconfigured, replace_file
from sandbox.doors.rpc.server import AddMore, RpcDoor, add_nothing, open_door
from sandbox.problems import LintFailed
from sandbox.reasons import Refused
from sandbox.settings import Settings, read_settings
from sandbox.telemetry.events import broke, note, note_often, take_libraries, warn

BENCH_GRACE_S: Final = 1.0

SAME_ENDING_S: Final = 0.5
"""Signals so close together are one: `timeout` and terminals send the same to a process and to its group."""

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
) -> Iterator[RpcDoor]:
    """Open the deployment and its door for the block; calls running at the end get `grace_s` seconds."""
    with opened_house(root, listen=listen, grace_s=grace_s, add_more=add_more) as (_, door):
        yield door


@contextmanager
def opened_house(
    root: Path,
    *,
    listen: str = "",
    grace_s: float = BENCH_GRACE_S,
    add_more: AddMore = add_nothing,
) -> Iterator[tuple[House, RpcDoor]]:
    """Open like `opened`, and give the house too."""

    def listening(settings: Settings) -> Settings:
        if not listen:
            return settings
        return settings.model_copy(update={"server": settings.server.model_copy(update={"listen": listen})})

    with ExitStack() as stack:
        # INVARIANT: alone before anything is opened, for whoever opens the house writes to the log.
        stack.enter_context(_alone(_deployment(root)))
        house = House.open(root, listening)
        stack.callback(house.close)
        house.close_orphans()
        _spare_the_collector()
        house.log.publish()
        stack.callback(house.log.publish)
        door = open_door(house, house.deployment, house.settings.server, add_more)
        stack.callback(door.close, grace_s)
        stack.enter_context(_announced(house.deployment, door.address))
        yield house, door


def _deployment(root: Path) -> Deployment:
    """Return the deployment in `root`; raises `Misconfigured` if there is none, for nothing is written then."""
    deployment = Deployment(root.resolve())
    read_settings(deployment.settings)
    deployment.state.mkdir(mode=0o700, exist_ok=True)
    return deployment


@contextmanager
def _alone(deployment: Deployment) -> Iterator[None]:
    """Keep other services off the deployment; raises `Misconfigured` if there is one.

    # WHY: rates and concurrency are counted within a process, so each further one would let as much through again.
    """
    descriptor = os.open(deployment.service_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, deployment)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, deployment: Deployment) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        address = _announced_address(deployment)
        at = f" at {address}" if address else ""
        message = f"{deployment.root}: a service runs over this deployment already{at}; call that one, or stop it first"
        raise Misconfigured(message) from error


@contextmanager
def _announced(deployment: Deployment, address: str) -> Iterator[None]:
    """Tell HOST:PORT in `state/address` for the block."""
    replace_file(deployment.address, address.encode("ascii"), 0o644)
    try:
        yield
    finally:
        if _announced_address(deployment) == address:
            deployment.address.unlink(missing_ok=True)


def _announced_address(deployment: Deployment) -> str:
    try:
        return deployment.address.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _spare_the_collector() -> None:
    """Keep what lives as long as the process out of the cyclic collector's sight, and let it look less often.

    Calls make no cycles, but for a new SQL text's tree; looking for some took 8 % of the CPU of a call
    (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@final
class Endings:
    """The signals that end the service, each counted."""

    def __init__(self) -> None:
        """Take SIGTERM and SIGINT from now on, for good; the main thread alone may."""
        # INVARIANT: no Python code of the main thread stands between a signal and whoever waits for it. Its handler
        # would run in the midst of anything, a lock taken twice included, and not at all while that thread sleeps in
        # a lock and another took the signal. C writes to this pipe at once, whatever thread it is in.
        self._came, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def wait(self) -> None:
        """Return when one more has come."""
        os.read(self._came, 1)


def serve_forever(root: Path, *, listen: str, grace_s: float) -> None:
    """Serve until SIGTERM or SIGINT, whose second ends the grace; see `sandbox serve`."""
    endings, ending = Endings(), threading.Event()
    take_libraries()
    opened_at = _stamps(Deployment(root.resolve()))
    with opened_house(root, listen=listen, grace_s=grace_s) as (house, door):
        watching = (house, ending, opened_at)
        watcher = threading.Thread(target=_reload_on_change, args=watching, daemon=True, name="watcher")
        watcher.start()
        tools = len(house.loaded.specs.tools)
        sys.stdout.write(f"ready grpc={door.address} tools={tools} pid={os.getpid()}\n")
        sys.stdout.flush()
        endings.wait()
        ending.set()
        note("draining", grace_s=grace_s, hint="another signal ends it at once")
        threading.Thread(target=_hurry, args=(endings, door), daemon=True, name="hurry").start()
    watcher.join(timeout=5)


def _hurry(endings: Endings, door: RpcDoor) -> None:
    one_and_the_same_until = time.monotonic() + SAME_ENDING_S
    endings.wait()
    while time.monotonic() < one_and_the_same_until:
        endings.wait()
    note("ending at once")
    door.hurry()


Stamp: TypeAlias = tuple[str, int, int, int]
"""Of a file: path, inode, size and the time of the last change."""


def _stamps(deployment: Deployment) -> frozenset[Stamp]:
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
    reloader = Reloader(house.reload)
    while not ending.is_set():
        try:
            for is_changed in _changes(house.deployment, ending, seen):
                if is_changed:
                    reloader.changed()
                else:
                    reloader.tick()
        except Exception as error:  # noqa: BLE001 - a folder vanished, the system has no watch left, or worse
            note_often("watching failed", type(error).__name__)
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
                is_unseen = _stamps(deployment) != seen
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

    def __init__(self, reload: Callable[[], None], now: Callable[[], float] = time.monotonic) -> None:
        """Load with `reload`, which takes everything or raises."""
        self._reload = reload
        self._now = now
        self._retry_at = float("inf")
        self._delay_s = FIRST_RETRY_S
        self._told = ""

    def changed(self) -> bool:
        """Load now; whether the new set is in force. The last good set stays otherwise, and operators are told why."""
        self._delay_s, self._told = FIRST_RETRY_S, ""
        return self._try()

    def tick(self) -> None:
        """Try again if it is time; tells operators only of what they have not been told about this change."""
        if self._now() >= self._retry_at:
            self._try()

    def _try(self) -> bool:
        try:
            self._reload()
        except Exception as error:  # noqa: BLE001 - a watcher that dies would never reload again
            self._put_off(error)
            return False
        self._retry_at = float("inf")
        return True

    def _put_off(self, error: Exception) -> None:
        self._retry_at = self._now() + self._delay_s
        self._delay_s = min(self._delay_s * 2, MAX_RETRY_S)
        problem, told = f"{type(error).__name__}: {error}", self._told
        self._told = problem
        if problem != told:
            with suppress(Exception):  # telling must not keep the next try from coming
                _tell(error)


def _tell(error: Exception) -> None:
    match error:
        case LintFailed():
            for p in error.problems:
                warn("reload refused", file=p.file, line=p.line, rule=p.rule, problem=p.message)
        case Misconfigured() | Refused() | OSError():
            warn("reload refused", problem=str(error))
        case _:
            broke("reload failed", error)
