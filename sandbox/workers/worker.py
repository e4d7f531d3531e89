"""What does one worker do? Serves like a service of its own, on the parent's port, until the parent tells it to end."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Final

from sandbox.app import Company
from sandbox.deployment import Deployment, Misconfigured
from sandbox.doors.opened import Doors
from sandbox.endings import ENDING
from sandbox.leases.afterwards import RETURNS
from sandbox.limits.shared import SharedCounts
from sandbox.presence import Addresses
from sandbox.serving import open_house, stamps, watch
from sandbox.settings import Settings
from sandbox.telemetry.events import note, take_libraries
from sandbox.workers.lines import Roll
from sandbox.workers.orders import DRAIN, HURRY, READY, Orders
from sandbox.workers.switchboard import Switchboard

_MAX_ORDERS: Final = 64 * 1024


def work() -> None:
    """Serve as the orders on stdin say, until stdin tells to drain or ends."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)  # told to a whole group, it is the parent that they are for
    orders = _read_orders()
    if orders is None:
        return
    take_libraries()
    root, ending = Path(orders.root), threading.Event()
    opened_at = stamps(Deployment(root))
    switchboard = _switchboard(orders)

    def counts(settings: Settings) -> SharedCounts:
        window_s = settings.limits.window_seconds
        return SharedCounts(orders.counts, bytes.fromhex(orders.secret), window_s, orders.worker, orders.workers)

    company = Company(counts=counts, workers=orders.workers, peers=switchboard)
    with open_house(
        root, listen=Addresses(orders.listen, orders.http_listen), grace_s=orders.grace_s, company=company
    ) as (house, doors):
        watcher = watch(house, ending, opened_at)
        sys.stdout.write(f"{READY} {len(house.loaded.specs.tools)}\n")
        sys.stdout.flush()
        if _word() != DRAIN:
            note("the parent is gone", worker=orders.worker)
        ending.set()
        threading.Thread(target=_hurry, args=(doors,), daemon=True, name="hurry").start()
    watcher.join(timeout=5)


def _read_orders() -> Orders | None:
    """Return the parent's orders; None if it ends before it has any."""
    first = _word()
    if first in {b"", DRAIN}:
        return None
    line = io.FileIO(sys.stdin.fileno(), closefd=False).readline(_MAX_ORDERS)  # not a byte more: words follow
    try:
        return Orders.read(first + line)
    except (ValueError, TypeError) as error:
        raise Misconfigured("a worker is started by `sandbox serve --workers N`, never by hand") from error


def _word() -> bytes:
    """Wait for the parent's next word; empty once the parent is gone."""
    return os.read(sys.stdin.fileno(), 1)


def _hurry(doors: Doors) -> None:
    if _word() == HURRY:
        doors.hurry()
        RETURNS.hurry()


def _switchboard(orders: Orders) -> Switchboard:
    receiving = socket.socket(fileno=orders.receiving)
    sending = [socket.socket(fileno=descriptor) for descriptor in orders.sending]
    return Switchboard(orders.worker, receiving, sending, Roll(orders.roll))
