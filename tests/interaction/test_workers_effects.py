"""Does a write that two workers are asked for at the same moment, under one `request_id`, happen once?"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from time import monotonic

import pytest
from several import PATIENCE_S, make_deployment, serve

from sandbox.client import Answer, Client, Pending, Result, Unavailable

SCRIPTS = Path(__file__).parents[2] / "scripts" / "lib"
TIMES = 12


def settled(client: Client, tool: str, key: str, at_once: threading.Barrier) -> Answer:
    """Ask at the same moment as the other does, and again until there is an answer."""
    at_once.wait(PATIENCE_S)
    give_up = monotonic() + PATIENCE_S
    while monotonic() < give_up:
        with suppress(Unavailable):  # the other was first, and has not ended yet
            answer = client.call(tool, {"key": key}, request_id=key)
            if not isinstance(answer, Pending):
                return answer
    raise AssertionError("it never ended")


@pytest.mark.requirement("log:intent:once")
@pytest.mark.requirement("app:workers:effects-once")
def test_a_write_that_two_workers_get_at_the_same_moment_happens_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    counting = import_module("counting")
    deployment = make_deployment(tmp_path / "shop")
    with counting.counting(deployment) as counted, serve(deployment) as service, ThreadPoolExecutor(2) as pool:
        here, there = service.clients()
        for number in range(TIMES):
            at_once = threading.Barrier(2)
            asked = [pool.submit(settled, each, counting.WRITE_TOOL, f"k{number}", at_once) for each in (here, there)]
            first, second = (each.result(PATIENCE_S) for each in asked)
            assert isinstance(first, Result)
            assert isinstance(second, Result)
            assert (first.call_id, first.receipt) == (second.call_id, second.receipt)
        assert counted.times() == {f"k{number}": 1 for number in range(TIMES)}
