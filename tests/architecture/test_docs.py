"""Does every code block of the documentation still do what the page says?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import RUN, SHOWN, Block, Shell, blocks, commands, is_as_shown
from source_tree import ROOT

from sandbox.demo.story import AFTERWARDS

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")))


def follow(page: str, folder: Path) -> None:
    """Do what a page says, in order; raise where it turns out otherwise."""
    with Shell(folder) as shell:
        for block in blocks(page):
            if block.directive == "file":
                shell.write(block.value, block.text)
            elif block.directive != "not run":
                run(block, shell)


def run(block: Block, shell: Shell) -> None:
    """Run one block."""
    if block.language == "python":
        status, printed = shell.python(block.text)
        assert status == 0, f"line {block.line}: the program ended with {status}\n{printed}"
    elif block.language == "sh":
        status, printed = shell.paste(block.text)
        assert status == 0, f"line {block.line}: pasted, it ended with {status}\n{printed}"
    elif block.language == "console":
        run_console(block, shell)
    else:
        assert block.language in SHOWN, f"line {block.line}: language `{block.language}`; use one of {RUN + SHOWN}"
        is_spec = block.language == "yaml" and "spec: tool/" in block.text
        assert not is_spec, f"line {block.line}: say where the spec goes, `<!-- file: toolspecs/NAME.yaml -->`"


def run_console(block: Block, shell: Shell) -> None:
    """Type each command and compare what it prints with what the page shows."""
    typed = commands(block)
    expected = [0] * len(typed)
    if block.directive == "exit":
        expected[-1] = int(block.value)
    for command, status_shown in zip(typed, expected, strict=True):
        status, printed = shell.type(command.text)
        told = f"line {block.line}: $ {command.text}\n{printed}"
        assert status == status_shown, f"exit status {status}, not {status_shown}; {told}"
        assert is_as_shown(printed, command.shown), f"the page shows something else; {told}"


@pytest.mark.requirement("house:docs:run")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds(page: str, tmp_path: Path) -> None:
    follow((ROOT / page).read_text("utf-8"), tmp_path)


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("```console\n$ false\n```", "exit status 1, not 0; line 1: $ false"),
        ("```console\n$ echo a\nb\n```", "the page shows something else; line 1: $ echo a"),
        ("```console\nno prompt\n```", "line 1: a console block begins with `$ `"),
        ("```python\nraise SystemExit(3)\n```", "line 1: the program ended with 3"),
        ("```sh\ntrue\nfalse\n```", "line 1: pasted, it ended with 1"),
        ("```bash\nls\n```", "line 1: language `bash`; use one of"),
        ("```\nls\n```", "line 1: language ``; use one of"),
        ("```yaml\nspec: tool/v1\n```", "line 1: say where the spec goes"),
        ("<!-- exit 2 -->\n```console\n$ true\n```", "exit status 0, not 2; line 2: $ true"),
        ("<!-- exit 1 -->\nTwo paragraphs away.\n\n```console\n$ false\n```", "exit status 1, not 0; line 4: $ false"),
        ("```console\n$ false &\n```", "exit status 1, not 0; line 1: $ false &"),
    ],
)
def test_a_planted_falsehood_is_found(page: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=f"^{re.escape(told)}"):
        follow(page, tmp_path)


@pytest.mark.parametrize(
    "page",
    [
        "```console\n$ mkdir a\n$ cd a\n$ echo one \\\n  two\none two\n```\n\n```console\n$ pwd\n…/a\n```",
        "<!-- exit 3 -->\n```console\n$ true\n$ (exit 3)\n```",
        "<!-- not run: it never ends -->\n```console\n$ cat /dev/zero\n```",
        "<!-- file: x/y.txt -->\n```text\nhello\n```\n\n```console\n$ cat x/y.txt\nhello\n```",
        "<!-- file: z.py -->\n```python\nimport nowhere\n```\n\n```console\n$ cat z.py\nimport nowhere\n```",
        "```console\n$ (echo ready; exec sleep 60) &\nready\n$ kill %1\n```",
        "```sh\nmkdir a\ncd a\nsleep 60 &\n```\n\n```console\n$ kill %1; pwd\n…/a\n```",
    ],
)
def test_an_honest_page_holds(page: str, tmp_path: Path) -> None:
    follow(page, tmp_path)


@pytest.mark.requirement("house:docs:pasted")
def test_the_first_calls_can_be_pasted_whole(tmp_path: Path) -> None:
    (block,) = (each for each in blocks((ROOT / "README.md").read_text("utf-8")) if each.language == "sh")
    with Shell(tmp_path) as shell:
        status, printed = shell.paste(block.text)

    assert status == 0, printed
    assert "sandbox serve --listen 127.0.0.1:0 &\nsandbox call " in block.text
    assert "verified: leaf " in printed


@pytest.mark.requirement("house:docs:demo-pasted")
def test_what_the_demo_says_at_its_end_can_be_pasted_whole(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        status, printed = shell.paste("\n".join(AFTERWARDS))
        shell.type("wait")
        _, running = shell.type("jobs -pr")

    assert status == 0, printed
    assert "1 row, " in printed
    assert "name: shop.customers\n" in printed
    assert not running.strip()
    assert max(map(len, AFTERWARDS)) <= 76
