"""Is a result told whatever letters the terminal's locale has?"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOW = """
import sys
from sandbox.cli import main
from sandbox.cli.common import emit
def show() -> None:
    sys.stdout.write("Zo\\u00eb\\n")
    emit({"name": "Zo\\u00eb"})
main.app = show
main.main()
"""


@pytest.mark.requirement("house:cli:locale")
@pytest.mark.parametrize(
    ("encoding", "text"), [("ascii", b'Zo\\xeb\n{"name":"Zo\\u00eb"}\n'), ("utf-8", 'Zoë\n{"name":"Zoë"}\n'.encode())]
)
def test_a_letter_that_the_locale_has_not_is_written_out(encoding: str, text: bytes) -> None:
    told = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", SHOW], capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding}
    )

    assert (told.returncode, told.stdout, told.stderr) == (0, text, b"")
