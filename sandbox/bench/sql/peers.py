"""Who else says which statements may run? A plain sqlglot walk, and whatever checkers a file names.

None of them knows our tables and rules: what they are asked is whether a statement may run at all. One that a file
names is a process of its own, in an environment of its own: it reads `{"engine", "sql"}`, a JSON object a line, and
answers each with a line, `true` or `false`. `scripts/bench-peers` installs some of other projects and writes the file.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, final

import sqlglot
from sqlglot import exp

from sandbox.bench.process import END_WITHIN_S
from sandbox.deployment import Misconfigured
from sandbox.reasons import quoted

_READS: Final = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
_WRITES: Final = (
    *(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable),
    *(exp.Command, exp.Into, exp.Lock, exp.Copy, exp.Set, exp.Pragma, exp.Attach, exp.Detach),
)


_ACCEPTED: Final = 'a list of `{"name", "engines", "command"}`'
"""What a file of checkers holds."""


@final
@dataclass(frozen=True, slots=True)
class Peer:
    """One checker."""

    name: str
    engines: tuple[str, ...]
    """Those it is asked about; none named means every engine."""
    permits: Callable[[str, str], bool]
    """Whether it lets a statement run on an engine."""

    def knows(self, engine: str) -> bool:
        """Whether it says anything of an engine."""
        return not self.engines or engine in self.engines


class _Named(NamedTuple):
    """A checker as a file names it."""

    name: str
    engines: tuple[str, ...]
    command: tuple[str, ...]


@contextmanager
def peers(file: Path | None) -> Iterator[tuple[Peer, ...]]:
    """Start the checkers that a file names, for the block; raises `Misconfigured` where it cannot be read."""
    named = tuple(_read(file)) if file is not None else ()
    with ExitStack() as stack:
        asked = [Peer(each.name, each.engines, stack.enter_context(_asked(each))) for each in named]
        yield (Peer("sqlglot walk", (), _walks), *asked)


def _read(file: Path) -> Iterator[_Named]:
    try:
        found: object = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise Misconfigured(f"--peers: {quoted(str(file))} cannot be read; a JSON file with {_ACCEPTED} is") from error
    for each in found if isinstance(found, list) else [found]:
        match each:
            case {"name": str(name), "engines": [*engines], "command": [*command], **others} if command and not others:
                yield _Named(name, tuple(map(str, engines)), tuple(map(str, command)))
            case _:
                raise Misconfigured(
                    f"--peers: {quoted(json.dumps(each))} in {quoted(str(file))}; {_ACCEPTED} is accepted"
                )


@contextmanager
def _asked(named: _Named) -> Iterator[Callable[[str, str], bool]]:
    try:
        process = subprocess.Popen(  # noqa: S603 - what whoever runs the bench says
            named.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    except OSError as error:
        raise Misconfigured(f"--peers: the command of {quoted(named.name)} cannot be run") from error
    with process:
        try:
            yield lambda engine, text: _answer(process, named.name, engine, text)
        finally:
            process.terminate()
            process.wait(END_WITHIN_S)


def _answer(process: subprocess.Popen[str], name: str, engine: str, text: str) -> bool:
    line = ""
    if process.stdin is not None and process.stdout is not None:
        try:
            process.stdin.write(json.dumps({"engine": engine, "sql": text}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline().strip()
        except OSError:  # it has ended
            line = ""
    if line not in ("true", "false"):
        raise Misconfigured(
            f"--peers: {quoted(name)} answered {quoted(line)} to {quoted(text)}; `true` or `false` is accepted"
        )
    return line == "true"


def _walks(engine: str, text: str) -> bool:
    """One statement, read only by its root, and nothing in the tree that writes, locks or commands; a crash is a no."""
    try:
        statements: Sequence[exp.Expr | None] = sqlglot.parse(text, read=engine)
    except Exception:  # noqa: BLE001 - whatever the parser raises
        return False
    root = statements[0] if len(statements) == 1 else None
    return isinstance(root, _READS) and not any(root.find_all(*_WRITES))
