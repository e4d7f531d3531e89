"""How does a command end that nobody foresaw, and in what form are problems told?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CommandLine

from sandbox.cli import lint, main
from sandbox.cli.common import emit, fact_line, problem_text, wrapped
from sandbox.problems import LintFailed, Problem, counted

requirement = pytest.mark.requirement


class Panic(BaseException):
    """What an engine written in another language raises."""


def raising(error: BaseException) -> Callable[..., None]:
    def broken(*_: object, **__: object) -> None:
        raise error

    return broken


@requirement("house:cli:unforeseen")
@pytest.mark.parametrize("error", [KeyError("secret"), RecursionError("secret"), Panic("secret")])
def test_what_nobody_foresaw_is_one_sentence_and_5(
    error: BaseException, sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint, "lint_deployment", raising(error))
    monkeypatch.delenv(main.TRACEBACK, raising=False)

    told, asked = sandbox.run("lint"), sandbox.run("lint", "--json")

    sentence = f"unforeseen fault ({type(error).__name__}); set SANDBOX_TRACEBACK=1 and run again to see where"
    assert (told.code, told.out, told.err) == (5, "", f"error: {sentence}\n")
    assert (asked.code, asked.err) == (5, "")
    assert asked.json() == {"error": {"message": sentence, "reason": ""}, "exit_code": 5}


@requirement("house:cli:unforeseen")
def test_those_who_ask_see_where(sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "lint_deployment", raising(KeyError("here")))
    monkeypatch.setenv(main.TRACEBACK, "1")

    told = sandbox.run("lint")

    assert told.code == 5
    assert "Traceback" in told.err
    assert "KeyError: 'here'" in told.err


def test_a_file_that_cannot_be_written_is_named(sandbox: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = sandbox.run("init", str(tmp_path / "file" / "below"))

    assert (told.code, told.err) == (2, f"error: {tmp_path}/file: file exists\n")


def test_the_build_is_told(sandbox: CommandLine) -> None:
    from sandbox.build import build_id

    assert sandbox.run("--version") == (0, f"sandbox {build_id()}\n", "")


@requirement("house:cli:readable")
def test_text_for_people_keeps_to_80_columns() -> None:
    long = Problem(
        file="toolspecs/some.yaml",
        line=12,
        column=150,
        rule="spec/value",
        message="the text `abc` stands here; " + "a long sentence about what is accepted " * 4,
        source_line="x" * 149 + "!" + "y" * 100,
    )

    lines = problem_text(long).splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("toolspecs/some.yaml:12:150: the text")
    assert lines[-2][len(lines[-1]) - 1] == "!", "the caret stands beneath what is to blame"
    assert fact_line("tables", ["orders", "customers"]) == "tables        orders, customers"
    assert max(map(len, fact_line("columns", ["orders.region"] * 20).splitlines())) <= 80
    assert max(map(len, wrapped("word " * 50).splitlines())) <= 80


def test_one_is_not_many() -> None:
    assert [counted(number, "row") for number in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


@requirement("house:cli:error-object")
def test_files_that_fail_lint_are_told_in_the_form_of_every_error(
    sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem(file="toolspecs/a.yaml", line=1, column=2, rule="spec/value", message="wrong")
    monkeypatch.setattr(lint, "lint_deployment", raising(LintFailed([problem])))

    asked = sandbox.run("lint", "--json")

    assert (asked.code, asked.json()["exit_code"]) == (1, 1)
    assert asked.json()["error"] == {"message": "lint failed", "reason": "", "problems": [problem.as_json()]}


@requirement("house:cli:error-object")
def test_json_holds_what_a_terminal_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"é": "é"})
    emit({"é": "\ud800"})

    assert capsys.readouterr().out == '{"é":"é"}\n{"\\u00e9":"\\ud800"}\n'
