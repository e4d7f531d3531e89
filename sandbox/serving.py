"""How does the service live? Opened, announced by one `ready` line, reloaded when files change, drained at the end."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import watchfiles

from sandbox.app import House
from sandbox.deployment import Misconfigured
from sandbox.doors.rpc.server import AddMore, RpcDoor, add_nothing, open_door
from sandbox.problems import LintFailed
from sandbox.reasons import Refused
from sandbox.settings import Settings
from sandbox.telemetry.events import broke, note, warn

BENCH_GRACE_S: Final = 1.0


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

    house = House.open(root, listening)
    _spare_the_collector()
    try:
        house.log.publish()
        door = open_door(house, house.deployment, house.settings.server, add_more)
        house.deployment.address.write_text(door.address, "ascii")
        try:
            yield house, door
        finally:
            house.deployment.address.unlink(missing_ok=True)
            door.close(grace_s)
            house.log.publish()
    finally:
        house.close()


def _spare_the_collector() -> None:
    """Keep what lives as long as the process out of the cyclic collector's sight, and let it look less often.

    Calls make no cycles; looking for some took 8 % of the CPU of a call (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def serve_forever(root: Path, *, listen: str, grace_s: float) -> None:
    """Serve until SIGTERM or SIGINT; see `sandbox serve`."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with opened_house(root, listen=listen, grace_s=grace_s) as (house, door):
        watcher = threading.Thread(target=_reload_on_change, args=(house, ending), daemon=True, name="watcher")
        watcher.start()
        tools = len(house.loaded.digests) - 2
        sys.stdout.write(f"ready grpc={door.address} tools={tools} pid={os.getpid()}\n")
        sys.stdout.flush()
        ending.wait()
        note("draining", grace_s=grace_s)
    watcher.join(timeout=5)


def _reload_on_change(house: House, ending: threading.Event) -> None:
    """Reload when specs, policies or connections change; keep the last good set when they do not pass lint."""
    deployment = house.deployment
    # WHY: the folder of connections.toml is watched, not the file, for editors replace files and a watch dies with one.
    folders = (deployment.toolspecs, deployment.policies, deployment.root)
    rereads = {deployment.toolspecs, deployment.policies}
    for changes in watchfiles.watch(*folders, stop_event=ending, recursive=False, raise_interrupt=False):
        paths = {Path(path) for _, path in changes}
        if deployment.connections in paths or any(path.parent in rereads for path in paths):
            try_reload(house)


def try_reload(house: House) -> bool:
    """Reload; whether the new set is in force. The last good set stays otherwise, and operators are told why."""
    try:
        house.reload()
    except LintFailed as failed:
        for problem in failed.problems:
            warn("reload refused", file=problem.file, line=problem.line, rule=problem.rule, problem=problem.message)
    except (Misconfigured, Refused, OSError) as error:
        warn("reload refused", problem=str(error))
    except Exception as error:  # noqa: BLE001 - a watcher that dies would never reload again
        broke("reload failed", error)
    else:
        return True
    return False
