"""One command as its user runs it: words in, exit code and both streams out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.cli.main import main


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, object]:
        """Return what it printed as one JSON object."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


class CommandLine:
    """Runs commands in this process, over one deployment."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def over(self, root: Path) -> None:
        """Name the deployment for the commands that follow."""
        self.root = root
        self._monkeypatch.setenv("SANDBOX_DEPLOYMENT", str(root))

    def run(self, *words: str) -> Ended:
        """Run `sandbox WORDS`."""
        self._monkeypatch.setattr(sys, "argv", ["sandbox", *words])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        told = self._capsys.readouterr()
        return Ended(int(ended.value.code or 0), told.out, told.err)
