"""Which committed files are written by a machine? Writes each anew, or with --check shows what differs.

protos/baseline.json is the wire contract as last committed. It only grows: this script refuses to replace it by one
that breaks it. To break it on purpose, delete the file in the same commit and star the line in CHANGELOG.md.
"""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from sandbox.reasons import REASONS, Reason, ReasonInfo  # noqa: E402 - after the path to this very checkout

Files = Mapping[str, bytes]
"""Path from the root of the checkout → content."""

BASELINE: Final = "protos/baseline.json"
LOCKS: Final = {
    "requirements.lock": ("--no-dev", "--extra", "mcp"),
    "requirements-build.lock": ("--only-group", "build"),
    "requirements-dev.lock": ("--all-extras",),
}
"""Lock file for pip → which part of uv.lock it exports."""


class Broken(Exception):
    """A file cannot be generated; the message says why."""


def run(*command: str) -> str:
    """Run a tool in the checkout and return what it printed."""
    scratch = {"UV_PYTHON_DOWNLOADS": "never", "BUF_CACHE_DIR": str(ROOT / ".venv" / "cache")}
    done = subprocess.run(  # noqa: S603 - the commands of this file
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **scratch}
    )
    if done.returncode:
        raise Broken(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def proto_modules() -> Files:
    """Return the Python modules and stubs of protos/sandbox/v1."""
    sources = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "protos").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        outputs = [f"--{kind}_out={scratch}" for kind in ("python", "pyi", "grpc_python")]
        run(sys.executable, "-m", "grpc_tools.protoc", "-Iprotos", *outputs, *sources)
        made = [path for path in Path(scratch).rglob("*") if path.is_file()]
        return {path.relative_to(scratch).as_posix(): path.read_bytes() for path in made}


def wire_baseline() -> Files:
    """Return the image of the protos that later protos must not break."""
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "image.json"
        run("buf", "build", "--exclude-source-info", "--output", str(image))
        built = json.loads(image.read_text("utf-8"))
    if (ROOT / BASELINE).exists():
        run("buf", "breaking", "--against", BASELINE)
    return {BASELINE: (json.dumps(built, indent=1) + "\n").encode()}


def reasons_page() -> Files:
    """Return docs/reasons.md, from the table in sandbox/reasons.py."""
    return {"docs/reasons.md": reasons_markdown(REASONS).encode()}


def reasons_markdown(reasons: Mapping[Reason, ReasonInfo]) -> str:
    """Render the table of reasons."""
    rows = [
        f"| `{reason}` | {info.status.name} ({info.status.value}) | {info.meaning} | {info.who_can_act} |"
        for reason, info in reasons.items()
    ]
    lines = [
        "# Reasons to refuse",
        "",
        "Written by `scripts/generate` from `sandbox/reasons.py`. Reasons are stable names, only ever added to; on the",
        "wire they are `google.rpc.ErrorInfo.reason` in the domain `sandbox.v1`.",
        "",
        "| reason | status | meaning | who can act |",
        "|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def pip_locks() -> Files:
    """Return the lock files for pip, exported from uv.lock; fails if that is not in step with pyproject.toml."""
    export = ("uv", "export", "--quiet", "--offline", "--no-cache", "--locked", "--format", "requirements-txt")
    plain = ("--no-emit-project", "--no-annotate", "--no-header")
    return {name: run(*export, *plain, *part).encode() for name, part in LOCKS.items()}


MAKERS: Final[Sequence[Callable[[], Files]]] = (proto_modules, wire_baseline, reasons_page, pip_locks)
"""Everything generated, one maker a kind."""


def differences(made: Files) -> list[str]:
    """Return a short diff for each file whose committed text is not what was made."""
    found = []
    for name, content in sorted(made.items()):
        path = ROOT / name
        committed = path.read_bytes() if path.exists() else b""
        if committed != content:
            texts = (committed.decode().splitlines(), content.decode().splitlines())
            diff = list(difflib.unified_diff(*texts, f"{name} (committed)", f"{name} (generated)", lineterm="", n=1))
            found.append("\n".join(diff[:40]))
    return found


def write(made: Files) -> None:
    """Write what was made."""
    for name, content in made.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def main(arguments: Sequence[str]) -> int:
    """Generate everything; with --check write nothing and fail where it differs."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: scripts/generate [--check]\n")
        return 2
    failed = False
    for maker in MAKERS:
        try:
            made = maker()
        except Broken as broken:
            print(f"{maker.__name__}: {broken}")
            failed = True
            continue
        if not arguments:
            write(made)
        elif found := differences(made):
            print("\n".join([*found, f"{maker.__name__}: run scripts/generate and commit what it writes"]))
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
