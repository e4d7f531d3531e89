"""Does `scripts/integrations` tell what a client does not show? Each failure planted; no client is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts" / "lib"
requirement = pytest.mark.requirement
TOLD_NO = "SQL_NOT_READ_ONLY: the statement contains `DELETE`; this tool runs a single `SELECT` (line 1, column 1)"


@pytest.fixture
def integrate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The script, with a cache of its own and a deployment that nothing serves."""
    monkeypatch.syspath_prepend(SCRIPTS)
    module = import_module("integrate")
    monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    return module


def driven(folder: Path, *lines: str) -> dict[str, Any]:
    """Run a driver of these lines, and return the row that it printed."""
    program = "\n".join(("from telling import telling", "with telling('pytest', 'no way') as told:", *lines))
    words = [sys.executable, "-c", program, str(folder), sys.executable, "nowhere"]
    done = subprocess.run(  # noqa: S603 - our own program
        words, env={"PYTHONPATH": str(SCRIPTS / "integrations")}, capture_output=True, text=True, check=False
    )
    row: dict[str, Any] = json.loads(done.stdout)
    return row


@requirement("house:integrations:told")
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("raise ExceptionGroup('many', [OSError('no way there')])", "OSError: no way there"),
        ("told.check_listed(['shop__query'])", "AssertionError: ['shop__query']"),
        ("told.check_listed(['srv_sandbox_shop__query', 'srv_sandbox_shop__order_by_id'])", "AssertionError: ['srv_"),
        ("told.check_refused('an error')", "AssertionError: an error"),
        ("""told.check_rows('{"rows": [[13]]}')""", "AssertionError: {'rows': [[13]]}"),
        ("told.check_receipts('no receipt')", "AssertionError: "),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_what_a_driver_does_not_show_is_a_row_that_says_why(line: str, why: str, tmp_path: Path) -> None:
    row = driven(tmp_path, f"    told.check_refused({TOLD_NO!r})", f"    {line}")

    assert (row["ok"], row["shown"]) == (False, ["refusal"])
    assert row["why"].startswith(why)


def test_what_a_driver_shows_is_a_row(tmp_path: Path) -> None:
    row = driven(tmp_path, "    told.check_listed(['shop.query', 'shop.order_by_id'])")

    assert (row["client"], row["ok"], row["shown"], row["why"]) == ("pytest", True, ["list"], "")


@requirement("house:integrations:told")
@pytest.mark.parametrize("prints", ["", "print('{}')", "raise SystemExit(3)"])
def test_a_driver_that_says_nothing_is_a_row(prints: str, integrate: Any, tmp_path: Path) -> None:
    class Planted(integrate.Integration):  # type: ignore[misc]
        driver = tmp_path / "driver.py"

    Planted.driver.write_text(prints)
    client = Planted("planted", "Planted", ("planted==1",))

    row = integrate.drive(client, Path(sys.executable), integrate.Deployment(tmp_path / "deployment", ""), ("a", "b"))

    assert row == integrate.failed(client, "the driver printed no line", ("a", "b"))
    assert (row["version"], row["way"], row["era"], row["ok"]) == ("1", "a", "b", False)


@requirement("house:integrations:told")
def test_a_client_that_cannot_be_installed_is_a_row_and_an_exit_code(
    integrate: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(*_: object) -> NoReturn:
        raise integrate.NotInstalled("no such wheel")

    monkeypatch.setattr(integrate, "install", nothing)

    assert integrate.main(["mcp"]) == 1

    row = json.loads(capsys.readouterr().out)
    assert (row["ok"], row["why"]) == (False, "cannot be installed here: no such wheel")


def test_the_page_has_a_line_for_each_run(integrate: Any) -> None:
    page = integrate.PAGE.read_text("utf-8")
    lines = page[page.index(integrate.BEGIN) : page.index(integrate.END)].splitlines()
    runs = [
        (client.title, client.requirements[0].rpartition("==")[2]) for client in integrate.CLIENTS for _ in client.runs
    ]

    assert [tuple(line.split(" | ")[:2]) for line in lines[4:-1]] == [
        (f"| {title}", version) for title, version in runs
    ]
