"""Does `sandbox bench doors` call what it names, through every door?"""

from __future__ import annotations

import json

import pytest
from command_line import CommandLine

from sandbox.bench import doors

pytestmark = pytest.mark.requirement("doors:bench:cost")


def test_each_door_is_measured_beside_the_bare_sdk(sandbox: CommandLine) -> None:
    figures = json.loads(sandbox.run("bench", "doors", "--seconds", "0.5", "--json").out)["doors"]

    assert [each["door"] for each in figures] == [
        "gRPC",
        "ExecuteStream",
        "Connect, JSON",
        "MCP, Streamable HTTP",
        "bare mcp",
    ]
    assert all(each["cpu_us"] > 0 for each in figures)
    assert figures[-1]["times_bare_mcp"] == 1.0


def test_an_answer_that_is_no_result_is_no_figure(sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "_ARGUMENTS", b'{"no": 7}')

    ended = sandbox.run("bench", "doors", "--seconds", "0.5")

    assert (ended.code, ended.out) == (5, "")
