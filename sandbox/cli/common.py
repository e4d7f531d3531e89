"""What do all commands share? The options, the exit codes, and how an error is told."""

from __future__ import annotations

import enum
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from sandbox.deployment import Misconfigured
from sandbox.reasons import printable, quoted
from sandbox.values import JsonObject, JsonValue

if TYPE_CHECKING:
    from sandbox.problems import Problem

WIDTH: Final = 80
"""Columns that text for people keeps to."""
NO_TOOLS: Final = "no tools yet; `sandbox new tool` writes one"


class ExitCode(enum.IntEnum):
    """How a command ends."""

    GOOD = 0
    """Also for a call that waits for a person."""
    REFUSED = 1
    """Refused, or proven bad: a malformed or false proof too."""
    USAGE = 2
    """A wrong flag or file, or a question that cannot be decided."""
    INCOMPLETE = 3
    """A quorum short, a gap."""
    NOT_AUTHENTICATED = 4
    FAULT = 5


DeploymentOption = Annotated[
    Path,
    typer.Option(
        "--deployment",
        envvar="SANDBOX_DEPLOYMENT",
        help="The deployment folder that `sandbox init` made.",
        show_default="the current folder",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON instead of text.")]


def emit(value: JsonObject | Sequence[JsonObject]) -> None:
    """Print one JSON document on one line and flush it; escaped where it holds what the terminal cannot."""
    line = _one_line(value, is_ascii=False)
    try:
        line.encode(sys.stdout.encoding)
    except UnicodeEncodeError:  # a lone surrogate, or a letter that the locale has not
        line = _one_line(value, is_ascii=True)
    sys.stdout.write(line)
    sys.stdout.flush()


def _one_line(value: JsonObject | Sequence[JsonObject], *, is_ascii: bool) -> str:
    return json.dumps(value, ensure_ascii=is_ascii, separators=(",", ":")) + "\n"


def stop(code: ExitCode, message: str = "") -> NoReturn:
    """End the command with `code`, telling `message` on stderr."""
    if message:
        sys.stderr.write(f"error: {message}\n")
    raise typer.Exit(code)


def fail(code: ExitCode, message: str, *, is_json: bool, reason: str = "") -> NoReturn:
    """End the command with `code` and one sentence, in the form that was asked for."""
    if is_json:
        emit({"error": {"message": message, "reason": reason}, "exit_code": int(code)})
        raise typer.Exit(code)
    stop(code, message)


def warn(message: str) -> None:
    """Tell on stderr what does not stop the command."""
    sys.stderr.write(wrapped(f"warning: {message}") + "\n")


def wrapped(text: str, indent: int = 2) -> str:
    """Return prose in lines of at most 80 columns, the later ones indented; no word is cut."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip


def fact_line(name: str, value: JsonValue, width: int = 13) -> str:
    """Return one fact for people: its name, its value, lists with commas."""
    text = ", ".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)
    return wrapped(f"{name:<{width}} {printable(text)}", width + 1)


def problem_text(problem: Problem) -> str:
    """Return a problem for people: its sentence wrapped, and the part of the source line that is to blame."""
    place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
    text = wrapped(f"{place}: {problem.message} [{problem.rule}]", 4)
    if not problem.source_line:
        return text
    margin = f"{problem.line:>5} | "
    room = WIDTH - len(margin)
    source, column = problem.source_line.replace("\t", " "), max(problem.column - 1, 0)
    if len(source) > room:
        begin = max(0, min(column - room // 2, len(source) - room))
        source, column = source[begin : begin + room], column - begin
    return f"{text}\n{margin}{source}\n{' ' * (len(margin) + column)}^"


def check_seconds(flag: str, seconds: float, least: float, most: float) -> None:
    """Raise `Misconfigured` unless the flag's value is within bounds; NaN is not."""
    if not least <= seconds <= most:
        raise Misconfigured(f"{flag} {seconds:g}: {least:g} to {most:g} seconds are accepted")


def claims_of(pairs: Sequence[str] | None) -> Mapping[str, JsonValue]:
    """Return the claims of `--claim K=V` options; a value is JSON if it is, else text."""
    from sandbox.identity.strict_json import parse_value

    claims: dict[str, JsonValue] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise Misconfigured(f"--claim {quoted(pair)}: NAME=VALUE is accepted, such as `region=EU`")
        claims[name] = parse_value(value)
    return claims
