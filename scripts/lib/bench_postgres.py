"""Where does the server of `scripts/bench-postgres` come from? From the development requirements, for the run alone."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

VARIABLE = "SANDBOX_BENCH_DSN"
BENCH = [sys.executable, "-m", "sandbox.cli.main", "bench", "call"]


def main(options: list[str]) -> int:
    """Start the server, run the bench with its superuser's dsn, and return what it ends with."""
    if "--help" in options:
        return subprocess.call([*BENCH, "--help"])  # noqa: S603 - our own command
    sys.path.append(str(Path(__file__).parents[2] / "tests" / "engines"))
    engine = import_module("postgres_server")
    with engine.running(engine.PYPI, 18) as server:
        dsn = f"postgresql://{engine.OWNER}:{server.password}@/postgres?host={server.folder}"
        environment = {**os.environ, VARIABLE: dsn}  # WHY: every user of a machine can read a command line
        return subprocess.call([*BENCH, "--postgres", VARIABLE, *options], env=environment)  # noqa: S603 - our own command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
