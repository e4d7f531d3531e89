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
    assert told.err == f"error: --seconds {seconds}: 0.1 to 3600 seconds are accepted\n"
