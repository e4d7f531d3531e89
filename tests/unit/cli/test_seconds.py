"""Are seconds on the command line bounded before anything is begun?"""

from __future__ import annotations

import pytest
from command_line import CommandLine


@pytest.mark.requirement("house:cli:seconds")
@pytest.mark.parametrize("bench", ["call", "memory", "flood"])
@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "3601"])
def test_a_figure_needs_some_seconds(sandbox: CommandLine, bench: str, seconds: str) -> None:
    told = sandbox.run("bench", bench, "--seconds", seconds)

    assert (told.code, told.out) == (2, "")
    assert told.err == f"error: --seconds {seconds}: 0.5 to 3600 seconds are accepted\n"


@pytest.mark.requirement("house:cli:seconds")
@pytest.mark.parametrize("command", ["call", "explain"])
@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_an_answer_is_waited_for_some_time(sandbox: CommandLine, command: str, seconds: str) -> None:
    told = sandbox.run(command, "shop.query", "--args", "{}", "--timeout", seconds)

    assert (told.code, told.err) == (2, f"error: --timeout {seconds}: 0.001 to 86400 seconds are accepted\n")


@pytest.mark.requirement("house:cli:seconds")
@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "86401"])
def test_running_calls_get_some_time_to_end(sandbox: CommandLine, seconds: str) -> None:
    told = sandbox.run("serve", "--grace", seconds)

    assert (told.code, told.err) == (2, f"error: --grace {seconds}: 0 to 86400 seconds are accepted\n")


@pytest.mark.requirement("house:cli:address")
@pytest.mark.parametrize("address", ["foo", "foo:", ":7443", "foo:70000", "foo:0", "a b:1", "foo:https"])
def test_an_address_is_a_host_and_a_port(sandbox: CommandLine, address: str) -> None:
    told = sandbox.run("tools", "--address", address)

    sentence = f"error: --address `{address}`: HOST:PORT is accepted, such as `127.0.0.1:7443`\n"
    assert (told.code, told.err) == (2, sentence)
