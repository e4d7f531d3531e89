"""What have all processes of one service spent? Counts in memory they share, so that spreading calls gains nothing.

The memory has no name in any folder and ends with its processes. It holds keyed digests and numbers, never a name. It
is of one size; pages that nothing was written to cost nothing. Each region is changed under a lock of the kernel's,
which a process that is killed gives back, and one that is stopped keeps: others wait a second for it. Places are
counted by process, and only the process itself changes its count, so that nobody waits to give one back; the places of
a dead one are given back by who finds it dead (`give_back`).
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, final

from sandbox.limits.buckets import MAX_BUCKETS, SWEEP_SECONDS, one_taken
from sandbox.reasons import Reason, Refused
from sandbox.toolspec import ToolName

MAX_PROCESSES: Final = 64
REGIONS: Final = 64
"""Each with a lock of its own, so that one principal's calls do not wait for another's."""
BUCKETS_EACH: Final = MAX_BUCKETS // REGIONS
PLACES_EACH: Final = 1_024
"""Pairs of tool and principal, in one region, that run calls at one moment. Beyond it a call finds no place."""

KEY_BYTES: Final = 16
_UNUSED: Final = bytes(KEY_BYTES)
_BUCKET: Final = struct.Struct("<16s4d")
"""Key, level, since when, and the rate and burst it was last asked with."""
_PLACE_BYTES: Final = KEY_BYTES + 2 * MAX_PROCESSES
"""Key, and how many places each process holds, 16 bits each."""
_PLACES_AT: Final = REGIONS * BUCKETS_EACH * _BUCKET.size
SIZE: Final = _PLACES_AT + REGIONS * PLACES_EACH * _PLACE_BYTES

_LOCK: Final = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux (fcntl_locking(2))."""

LOCKED_WITHIN_S: Final = 1.0
"""A region's lock is held for microseconds; a process that keeps it for longer is stopped or starved."""
LONGEST_PAUSE_S: Final = 0.01
"""Between two tries for it; the first are closer."""

REMEMBERED: Final = 16_384
"""Digests that a process need not make again."""


def make_memory() -> int:
    """Return the descriptor of new memory for counts, to be inherited by the processes of a service."""
    descriptor = os.memfd_create("sandbox-limits")
    os.ftruncate(descriptor, SIZE)
    return descriptor


def give_back(descriptor: int, process: int) -> None:
    """Free every place that a process holds, once it is dead."""
    for number in range(REGIONS):
        start = _PLACES_AT + number * PLACES_EACH * _PLACE_BYTES
        places = os.pread(descriptor, PLACES_EACH * _PLACE_BYTES, start)
        for at in range(KEY_BYTES + 2 * process, len(places), _PLACE_BYTES):
            if places[at] or places[at + 1]:
                os.pwrite(descriptor, b"\0\0", start + at)


def _own_file(descriptor: int) -> int:
    """Open the memory again: a lock belongs to an open file, and inherited descriptors are one."""
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)


@final
class _Region:
    """One region's lock, for the block, against threads and processes; `Refused` if it cannot be had in time."""

    __slots__ = ("_descriptor", "_free", "_take", "_threads")

    def __init__(self, descriptor: int, number: int) -> None:
        self._descriptor = descriptor
        self._threads = threading.Lock()
        self._take = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
        self._free = _LOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, number, 1, 0)

    def __enter__(self) -> None:
        until = time.monotonic() + LOCKED_WITHIN_S
        if not self._threads.acquire(timeout=LOCKED_WITHIN_S):
            raise _kept()
        try:
            pause_s = 0.0001
            while not self._is_taken():
                if time.monotonic() >= until:
                    raise _kept()
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        except BaseException:
            self._threads.release()
            raise

    def _is_taken(self) -> bool:
        # WHY: a lock of the open file: one of the process is lost with any descriptor of the memory that is closed. And
        # tried again and again, for the kernel's own waiting has no bound.
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, self._take)
        except BlockingIOError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, self._free)
        finally:
            self._threads.release()


def _kept() -> Refused:
    message = "a worker of the service keeps what all workers count in, and does not answer; ask again"
    return Refused(Reason.WORKER_UNAVAILABLE, message, is_recorded=False, retry_after_s=LOCKED_WITHIN_S)


@final
class SharedCounts:
    """Counts that several processes share; each is one of them. Satisfies `counts.Counts`.

    What takes raises `Refused` with `WORKER_UNAVAILABLE` while a process that does not run on keeps a region.
    """

    def __init__(self, descriptor: int, secret: bytes, window_seconds: float, process: int, processes: int) -> None:
        """Count in `make_memory`'s memory as number `process` of `processes`; all have the same `secret`."""
        self._memory = mmap.mmap(descriptor, SIZE)
        self._window_seconds = window_seconds
        self._counts = struct.Struct(f"<{processes}H")
        self._own = KEY_BYTES + 2 * process
        self._changing = threading.Lock()
        """Held while a count of this process's own is changed."""
        self._own_file = _own_file(descriptor)
        self._regions = [_Region(self._own_file, number) for number in range(REGIONS)]

        @lru_cache(maxsize=REMEMBERED)
        def digest(*key: str) -> bytes:
            return hashlib.blake2b(repr(key).encode(), key=secret, digest_size=KEY_BYTES).digest()

        self._digest = digest

    def take_call(self, subject: str, tool: ToolName, per_s: float, burst: float, now: float) -> float:
        """Charge a call."""
        return self._take(self._digest("call", subject, tool), per_s, burst, now)

    def take_cold_parse(self, subject: str, per_s: float, burst: float, now: float) -> float:
        """Charge a text."""
        return self._take(self._digest("cold parse", subject), per_s, burst, now)

    def is_first(self, subject: str, tool: str, rule: str, now: float) -> bool:
        """Whether the window's one token is there: it comes back when the window ends."""
        key = self._digest("window", subject, tool, rule)
        return self._take(key, 1.0 / self._window_seconds, 1.0, now) == 0.0

    def take_place(self, tool: ToolName, subject: str, most: int) -> SharedPlace | None:
        """Take a place."""
        whole = self._digest("places", tool)
        number = whole[0] % REGIONS
        with self._regions[number]:
            of_tool = self._place(number, whole)
            if of_tool is None or self._taken(of_tool) >= most:
                return None
            self._add(of_tool, 1)  # before the next is looked up, for a place that nobody holds is anybody's
            of_subject = self._place(number, self._digest("share", tool, subject))
            held = 0 if of_subject is None else self._taken(of_subject)
            if of_subject is None or (held and held >= most - 1):
                self._add(of_tool, -1)
                return None
            self._add(of_subject, 1)
        return SharedPlace(self, (of_tool, of_subject))

    def leave(self, places: tuple[int, int]) -> None:
        """Give back a place."""
        for at in places:
            self._add(at, -1)

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
        os.close(self._own_file)

    def _take(self, key: bytes, per_s: float, burst: float, now: float) -> float:
        number = key[0] % REGIONS
        with self._regions[number]:
            start = number * BUCKETS_EACH * _BUCKET.size
            at = self._slot(key, start, BUCKETS_EACH, _BUCKET.size, lambda at: self._is_full(at, now))
            if at is None:
                return SWEEP_SECONDS
            found, level, since, _, _ = _BUCKET.unpack_from(self._memory, at)
            if found != key:
                level, since = burst, now
            # INVARIANT: a clock that steps back gives nothing: time stands still until it has caught up.
            now = max(now, since)
            level, delay = one_taken(level, now - since, per_s, burst)
            _BUCKET.pack_into(self._memory, at, key, level, now, per_s, burst)
        return delay

    def _is_full(self, at: int, now: float) -> bool:
        _, level, since, per_s, burst = _BUCKET.unpack_from(self._memory, at)
        return bool(level + (now - since) * per_s >= burst)

    def _place(self, number: int, key: bytes) -> int | None:
        start = _PLACES_AT + number * PLACES_EACH * _PLACE_BYTES
        at = self._slot(key, start, PLACES_EACH, _PLACE_BYTES, lambda at: not self._taken(at))
        if at is not None:
            self._memory[at : at + KEY_BYTES] = key
        return at

    def _taken(self, at: int) -> int:
        return sum(self._counts.unpack_from(self._memory, at + KEY_BYTES))

    def _add(self, at: int, change: int) -> None:
        # INVARIANT: a place that is held is nobody else's, so what stands there stays while its count is changed.
        own = at + self._own
        with self._changing:
            count = int.from_bytes(self._memory[own : own + 2], "little") + change
            self._memory[own : own + 2] = count.to_bytes(2, "little")

    def _slot(self, key: bytes, start: int, each: int, size: int, is_free: Callable[[int], bool]) -> int | None:
        """Return where a key stands, or else may be put; None if its region is full.

        # INVARIANT: a slot that was used never becomes unused, so a key stands before the first unused one or nowhere.
        """
        memory, begin = self._memory, int.from_bytes(key[1:5], "little")
        free = None
        for step in range(each):
            at = start + (begin + step) % each * size
            found = memory[at : at + KEY_BYTES]
            if found == key:
                return at
            if found == _UNUSED:
                return at if free is None else free
            if free is None and is_free(at):
                free = at
        return free


@final
class SharedPlace:
    """One place that a call holds."""

    __slots__ = ("_counts", "_places")

    def __init__(self, counts: SharedCounts, places: tuple[int, int]) -> None:
        """Hold the place."""
        self._counts = counts
        self._places = places

    def leave(self) -> None:
        """Give it back."""
        self._counts.leave(self._places)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self.leave()
