"""The command line, in this process."""

import pytest
from command_line import CommandLine


@pytest.fixture
def sandbox(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capsys, monkeypatch)
