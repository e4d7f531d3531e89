"""An open log with one generation enrolled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from log_house import House, open_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path / "deployment") as opened:
        yield opened
