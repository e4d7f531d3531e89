"""What does a page tell its reader to type? Its code blocks in order, and a shell that types them.

```console blocks: lines after `$ ` are typed into one shell for the whole page, in a new folder; the other lines are
what must appear, `…` standing for anything. ```python blocks are run in the shell's folder. An HTML comment before a
block changes that: `<!-- not run: why -->`, `<!-- exit 1 -->` (of its last command), `<!-- file: PATH -->` (written
there). A command that ends in ` &` goes on in the background; the page goes on when it has printed its first line.
```sh blocks are pasted whole, as a reader would; their last command counts.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

FENCE = re.compile(r"^```(\w*)\s*$")
DIRECTIVE = re.compile(r"^<!-- (not run|exit|file): ?(.+?) -->$|^<!-- (exit) (\d+) -->$")
RUN = ("console", "python", "sh")
SHOWN = ("text", "json", "proto", "toml", "cedar", "sql", "yaml", "mermaid")
"""Languages a page may show without running anything."""
COMMAND_TIMEOUT_S = 120


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    text: str
    line: int
    directive: str
    """`not run`, `exit`, `file` or empty."""
    value: str


class Command(NamedTuple):
    """One command of a console block, and what the page says it prints."""

    text: str
    shown: str


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = page.splitlines()
    directive = value = ""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if found := DIRECTIVE.match(line):
            directive, value = found[1] or found[3], found[2] or found[4]
        elif fence := FENCE.match(line):
            begin = number
            while number < len(lines) and lines[number] != "```":
                number += 1
            yield Block(fence[1], "\n".join(lines[begin:number]), begin, directive, value)
            number += 1
            directive = value = ""
        elif line.strip():
            directive = value = ""


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block; `\\` at the end of a line continues it."""
    found: list[tuple[str, list[str]]] = []
    continued = False
    for line in block.text.splitlines():
        if continued:
            found[-1] = (found[-1][0] + "\n" + line, [])
        elif line.startswith("$ "):
            found.append((line[2:], []))
        elif not found:
            raise AssertionError(f"line {block.line}: a console block begins with `$ `")
        else:
            found[-1][1].append(line)
            continue
        continued = line.endswith("\\")
    return [Command(text, "\n".join(shown)) for text, shown in found]


def is_as_shown(printed: str, shown: str) -> bool:
    """Whether a command printed what the page shows; a page may show nothing."""
    pattern = re.escape(shown.strip()).replace("…", ".*")
    return not shown.strip() or re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


class Shell:
    """A shell in a folder of its own; everything it started ends with it."""

    def __init__(self, folder: Path) -> None:
        """Start in `folder`, with this very interpreter's commands first on PATH."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self._folder = folder
        self._jobs = 0
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],  # noqa: S607 - whichever bash is here
            cwd=folder,
            env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONWARNINGS": "error", "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._bash.communicate()

    def type(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit status and what it printed."""
        if command.endswith(" &"):
            return self._type(self._in_background(command.removesuffix(" &")))
        return self._type(command)

    def paste(self, text: str) -> tuple[int, str]:
        """Type many lines at once, without waiting for anything in between."""
        return self._type(text)

    def python(self, program: str) -> tuple[int, str]:
        """Run a program in the shell's folder."""
        file = self._folder / f"block-{self._next()}.py"
        file.write_text(program, "utf-8")
        return self._type(f"{shlex.quote(sys.executable)} {shlex.quote(str(file))}")

    def write(self, path: str, content: str) -> None:
        """Write a file where the shell stands now."""
        status, printed = self._type("pwd")
        assert status == 0
        target = Path(printed.strip()) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content + "\n", "utf-8")

    def _in_background(self, command: str) -> str:
        output = shlex.quote(str(self._folder / f"background-{self._next()}.txt"))
        wait = f"until [ -s {output} ] || ! kill -0 $! 2>/dev/null; do sleep 0.05; done; cat {output}; kill -0 $!"
        return f"{command} >{output} 2>&1 &\n{wait}"

    def _next(self) -> int:
        self._jobs += 1
        return self._jobs

    def _type(self, command: str) -> tuple[int, str]:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        marker = f"--- end of command {self._next()} "
        watchdog = threading.Timer(COMMAND_TIMEOUT_S, self._end)
        watchdog.start()
        try:
            self._bash.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n{marker}%d\\n' $?\n")
            self._bash.stdin.flush()
            printed = ""
            for line in self._bash.stdout:
                if line.startswith(marker):
                    return int(line.removeprefix(marker)), printed
                printed += line
        finally:
            watchdog.cancel()
        raise AssertionError(f"the shell ended, or did not within {COMMAND_TIMEOUT_S} s: {command}\n{printed}")

    def _end(self) -> None:
        if self._bash.poll() is None:
            os.killpg(self._bash.pid, signal.SIGKILL)
