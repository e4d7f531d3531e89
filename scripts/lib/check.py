"""Is the house in order? Runs every step even after one has failed, and tells each step's name and time.

`scripts/check NAME…` runs only the steps named.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON_SCRIPTS: Final = ("scripts/make-demo-data",)
"""Python without the ending that tools look for."""


class Step(NamedTuple):
    """One check: it passes if the command exits with 0."""

    name: str
    command: Sequence[str]


STEPS: Final = (
    Step("mypy", ("mypy",)),
    Step("mypy of scripts", ("mypy", "--cache-dir=.mypy_cache/scripts", "scripts/lib")),
    Step("house rules", (sys.executable, "-m", "pytest", "tests/architecture")),
    Step("pyright", ("basedpyright", "--warnings")),
    Step("ruff format", ("ruff", "format", "--check", ".", *PYTHON_SCRIPTS)),
    Step("ruff check", ("ruff", "check", "--no-cache", ".", *PYTHON_SCRIPTS)),
    Step("import contracts", ("lint-imports", "--no-cache")),
    Step("declared dependencies", ("deptry", "sandbox")),
    Step("dead code", ("vulture",)),
    Step("proto lint", ("buf", "lint")),
    Step("proto breaking", ("buf", "breaking", "--against", "protos/baseline.json")),
    Step("generated files", (sys.executable, "scripts/lib/generate.py", "--check")),
)
"""The slow ones first: two run at a time. The house rules include the code blocks of the docs."""


class Outcome(NamedTuple):
    """How a step ended."""

    step: Step
    passed: bool
    seconds: float
    output: str


def run(step: Step) -> Outcome:
    """Run one step."""
    begun = time.monotonic()
    environment = {**os.environ, "BUF_CACHE_DIR": str(ROOT / ".venv" / "cache")}
    done = subprocess.run(  # noqa: S603 - the commands of this file
        step.command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Outcome(step, done.returncode == 0, time.monotonic() - begun, done.stdout)


def tell(outcome: Outcome) -> None:
    """Print one line for a step, and what it said if it failed."""
    print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.step.name:<24}{outcome.seconds:6.1f} s", flush=True)
    if not outcome.passed:
        print("\n".join(f"     {line}" for line in outcome.output.splitlines()), flush=True)


def main(names: Sequence[str]) -> int:
    """Run the steps and count the failures."""
    known = {step.name for step in STEPS}
    if unknown := [name for name in names if name not in known]:
        sys.stderr.write(f"error: no step `{unknown[0]}`; the steps are {', '.join(sorted(known))}\n")
        return 2
    steps = [step for step in STEPS if not names or step.name in names]
    failures = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for outcome in pool.map(run, steps):
            tell(outcome)
            if not outcome.passed:
                failures.append(outcome.step.name)
    print(f"{len(steps) - len(failures)} of {len(steps)} checks hold" + "".join(f"; FAIL {name}" for name in failures))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
