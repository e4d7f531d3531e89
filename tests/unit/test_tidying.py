"""Does memory that lies free between what is used go back to the system?"""

from __future__ import annotations

import subprocess
import sys

import pytest

HELD_BETWEEN = """
import ctypes
from sandbox import tidying
def heap():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1])
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
begun = heap()
blocks = [libc.malloc(16_000) for _ in range(4_000)]
for block in blocks:
    ctypes.memset(block, 1, 16_000)
for block in blocks[:-1]:
    libc.free(block)  # the last one stays, so that nothing is given back by itself
clock = [0.0]
tidier = tidying.Tidying(now=lambda: clock[0])
tidier.tick()
held = heap()
clock[0] = tidying.TIDY_EVERY_S
tidier.tick()
print(begun, held, heap())
"""


@pytest.mark.requirement("app:memory:given-back")
def test_what_is_free_between_what_is_used_goes_back_to_the_system_each_minute() -> None:
    told = subprocess.run([sys.executable, "-c", HELD_BETWEEN], check=True, capture_output=True, timeout=60)  # noqa: S603
    begun, held, left = map(int, told.stdout.split())
    assert held - begun > 50_000
    assert left - begun < 10_000


MANY_THREADS = """
import ctypes, threading
from sandbox.tidying import share_heaps
share_heaps()
libc, together = ctypes.CDLL(None), threading.Barrier(33)
libc.malloc.restype = ctypes.c_void_p
def work():
    together.wait()
    libc.malloc(1000)
    together.wait()
for _ in range(32):
    threading.Thread(target=work).start()
together.wait()
together.wait()
starts = [int(line.split("-")[0], 16) for line in open("/proc/self/maps") if line.rstrip().endswith(" 0")]
print(sum(start % (64 << 20) == 0 for start in starts))
"""
"""Counts the heaps besides the main one: each begins at a multiple of 64 MiB."""


@pytest.mark.requirement("app:memory:given-back")
def test_threads_share_few_heaps() -> None:
    told = subprocess.run([sys.executable, "-c", MANY_THREADS], check=True, capture_output=True, timeout=60)  # noqa: S603
    assert int(told.stdout) <= 2
