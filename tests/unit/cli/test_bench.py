"""Does a benchmark measure what it names?"""

from __future__ import annotations

import pytest

from sandbox.bench import call


@pytest.mark.requirement("house:bench:call")
def test_every_figure_has_its_yardstick_in_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "CONCURRENCIES", (2,))
    told: list[str] = []

    figures = call.bench_call(0.5, told.append)

    names = [figure["name"] for figure in figures]
    assert names == [
        f"{name}{suffix}" for suffix in ("", "-stream") for name in ("bare-echo", "echo", "governed", "driver")
    ]
    assert told == ["2 callers", "2 callers, streamed"]
    for figure in figures:
        assert figure["concurrency"] == 2
        assert figure["cpu_us"] > 0  # type: ignore[operator] - a number
        assert 0 < figure["p50_ms"] <= figure["p99_ms"]  # type: ignore[operator] - numbers
