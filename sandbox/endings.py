"""When is a process told to end? By SIGTERM, SIGINT or SIGHUP, each counted, at whatever moment they come."""

from __future__ import annotations

import os
import signal
from typing import Final, final

ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""WHY: a terminal that closes sends the last, whose default ends a process in the midst of its calls."""
SAME_ENDING_S: Final = 0.5
"""Signals so close together are one: `timeout` and terminals send the same to a process and to its group."""


@final
class Endings:
    """The signals that end the service, each counted."""

    def __init__(self) -> None:
        """Take them from now on, for good; the main thread alone may."""
        # INVARIANT: no Python code of the main thread stands between a signal and whoever waits for it. Its handler
        # would run in the midst of anything, a lock taken twice included, and not at all while that thread sleeps in
        # a lock and another took the signal. C writes to this pipe at once, whatever thread it is in.
        self._came, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        for number in ENDING:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # `nohup` started us, to go on without a terminal
            signal.signal(number, lambda *_: None)

    def fileno(self) -> int:
        """Return the descriptor that is readable once one more has come."""
        return self._came

    def wait(self) -> None:
        """Return when one more has come."""
        os.read(self._came, 1)
