"""Do real clients work with a real deployment? `scripts/integrations [NAME…] [--short] [--write]`; no model is asked.

Each client is installed, pinned, into an environment of its own in a cache folder, for mcp 1.x and 2.x cannot share
one; those that take our client get this checkout beside them, as the wheel that others would install. The drivers in
`integrations/` are short and meant as examples. Each prints a JSON line, which goes to stdout; a client that cannot be
installed is such a line too. Exit code 1 unless every line is `ok`. `--write` puts the table into docs/integrations.md.
`--pin` resolves a client's pins anew from what is written here, and ends.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypedDict, cast

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
DRIVERS: Final = HERE / "integrations"
PAGE: Final = ROOT / "docs" / "integrations.md"
BEGIN: Final = "<!-- integrations: written by scripts/integrations --write -->\n"
END: Final = "<!-- integrations: end -->\n"
BIN: Final = Path(sys.executable).parent
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tool-sandbox" / "integrations"
PATIENCE_S: Final = 120.0
ERAS: Final = ("2026-07-28", "2025-11-25")
QUIET: Final = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "LANGSMITH_TRACING": "false",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""Nobody outside hears of a run, as far as clients can be told so."""


class Integration(NamedTuple):
    """One client: what is installed for it, and how its driver is called."""

    name: str
    title: str
    requirements: tuple[str, ...]
    extra: str = ""
    """Of ours, which goes into the same environment; empty: the client starts the bridge, and needs nothing of ours."""
    runs: tuple[tuple[str, ...], ...] = ((),)
    """The driver's words, a run each."""
    npm_before: str = ""
    """Of packages of npm: the day that their own dependencies are resolved as of, which pins them."""
    is_short: bool = False

    @property
    def pins(self) -> Path:
        """Return the file of pins."""
        return DRIVERS / f"{self.name}.txt"

    @property
    def driver(self) -> Path:
        """Return the program; not `mcp.py`, which would hide the package of that name from itself."""
        return DRIVERS / f"with_{self.name.replace('-', '_')}.py"


class Row(TypedDict):
    """What a run showed."""

    client: str
    version: str
    way: str
    era: str
    shown: list[str]
    ok: bool
    why: str


CLIENTS: Final = (
    Integration(
        "mcp",
        "MCP SDK",
        ("mcp==2.3.0",),
        runs=tuple((way, era) for way in ("stdio", "HTTP") for era in ERAS),
        is_short=True,
    ),
    Integration("langgraph", "LangGraph", ("langgraph==1.2.22", "langchain==1.5.2"), "langchain", is_short=True),
    Integration("openai-agents", "OpenAI Agents", ("openai-agents==0.24.0",), "openai-agents", is_short=True),
    Integration("pydantic-ai", "Pydantic AI", ("pydantic-ai-slim==2.68.0",), "pydantic-ai", is_short=True),
    Integration("adk", "Google ADK", ("google-adk[mcp]==2.13.0",)),
    Integration("llamaindex", "LlamaIndex", ("llama-index-tools-mcp==0.6.0",)),
    Integration("strands", "Strands Agents", ("strands-agents==1.62.0",)),
    Integration(
        "inspector", "MCP Inspector", ("@modelcontextprotocol/inspector-cli==0.15.0",), npm_before="2026-11-20"
    ),
    Integration("crewai", "CrewAI", ("crewai[mcp]==1.15.30",)),
)


class NotInstalled(Exception):
    """A client's environment cannot be made here."""


def ran(command: Sequence[object]) -> str:
    """Run a command that installs and return what it printed; what it said is the reason if it fails."""
    done = subprocess.run(  # noqa: S603 - the commands of this file
        list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotInstalled(" ".join((done.stderr or done.stdout).split())[-300:] or f"exit code {done.returncode}")
    return done.stdout


def pin(client: Integration) -> None:
    """Write a client's pins anew, with ours beside it where it takes our client: then as our own lock has them."""
    ours = ["pyproject.toml", "--extra", client.extra, "--constraints", "requirements.lock"] if client.extra else []
    compile_ = [BIN / "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--universal"]
    with tempfile.TemporaryDirectory() as made:
        wanted = Path(made) / "requirements.in"
        wanted.write_text("\n".join(client.requirements), "utf-8")
        compiled = ran([*compile_, "--python-version", "3.11", *ours, wanted])
    client.pins.write_text(f"# scripts/integrations --pin {client.name}\n{compiled}", "utf-8")


def wheel(folder: Path) -> Path:
    """Build this checkout's wheel, without the network."""
    pip = [BIN / "python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    ran([*pip, "--wheel-dir", folder, "."])
    return next(folder.glob("*.whl"))


def install(client: Integration, home: Path) -> None:
    """Fill a client's new environment. Scripts of npm's packages are not run."""
    ran([BIN / "uv", "venv", "--quiet", "--python", sys.executable, home])
    if client.npm_before:
        if not (shutil.which("node") and shutil.which("npm")):
            raise NotInstalled("neither node nor npm on PATH")
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
        wanted = [each.replace("==", "@") for each in client.requirements]
        ran(["npm", "install", *quiet, "--before", client.npm_before, "--prefix", home, *wanted])
        return
    wheels = ["--quiet", "--only-binary", ":all:", "--python", home / "bin" / "python"]
    ran([BIN / "uv", "pip", "install", *wheels, "--requirements", client.pins])


def environment(client: Integration, folder: Path) -> Path:
    """Return the Python of the client's environment: that of the last run, unless the pins have changed."""
    home = CACHE / client.name
    python = home / "bin" / "python"
    pins = f"{client.requirements} {client.npm_before}" if client.npm_before else client.pins.read_text("utf-8")
    digest = hashlib.sha256(f"{sys.version}\n{home}\n{pins}".encode()).hexdigest()
    marker = home / "installed"
    if not marker.is_file() or marker.read_text("utf-8") != digest:
        print(f"installing {client.name} into {home}: {', '.join(client.requirements)}", file=sys.stderr, flush=True)
        shutil.rmtree(home, ignore_errors=True)
        install(client, home)
        marker.write_text(digest, "utf-8")
    if client.extra:
        ours = next(folder.glob("*.whl"), None) or wheel(folder)
        quiet = ["--quiet", "--python", python, "--no-deps", "--offline"]
        ran([BIN / "uv", "pip", "install", *quiet, "--reinstall-package", "tool-sandbox", ours])
    return python


class Deployment(NamedTuple):
    """A deployment whose service runs."""

    root: Path
    http: str


@contextmanager
def served(folder: Path) -> Iterator[Deployment]:
    """Found a deployment with an HTTP door and run its service for the block."""
    root = folder / "deployment"
    ran([BIN / "sandbox", "init", root])
    settings = root / "sandbox.toml"
    settings.write_text(settings.read_text("utf-8").replace("[http]\n", '[http]\nlisten = "127.0.0.1:0"\n'), "utf-8")
    with (folder / "events").open("w", encoding="utf-8") as events:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [BIN / "sandbox", "serve", "--deployment", root, "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=events,
            text=True,
        )
        try:
            ready = process.stdout.readline() if process.stdout is not None else ""
            told = dict(word.split("=", 1) for word in ready.split()[1:] if "=" in word)
            if "http" not in told:
                raise SystemExit(f"the service did not start: {(folder / 'events').read_text('utf-8')[-2000:]}")
            yield Deployment(root, told["http"])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other run uses the cache folder: another checkout's would put its wheel into the environments."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def failed(client: Integration, why: str, words: Sequence[str] = ()) -> Row:
    """Return the row of a client that could say nothing itself."""
    name, _, version = client.requirements[0].partition("==")
    way, era = words or ("", "")
    return Row(client=name, version=version, way=way, era=era, shown=[], ok=False, why=why)


def drive(client: Integration, python: Path, deployment: Deployment, words: Sequence[str]) -> Row:
    """Run a client's driver and return the line that it printed.

    Its home is a folder of its own, and of this environment it sees where commands are: no keys, so no model is asked.
    """
    home = deployment.root.parent / client.name
    home.mkdir(exist_ok=True)
    try:
        done = subprocess.run(  # noqa: S603 - our own drivers
            [python, client.driver, deployment.root, BIN / "sandbox", deployment.http, *words],
            cwd=home,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8", **QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return failed(client, f"the driver did not end within {PATIENCE_S:.0f} s", words)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"client": ')]
    row = cast("Row", json.loads(lines[-1])) if lines else failed(client, "the driver printed no line", words)
    if not row["ok"]:
        print("\n".join(done.stderr.splitlines()[-25:]), file=sys.stderr)
    return row


def rows(clients: Sequence[Integration]) -> Iterator[Row]:
    """Yield what each client shows, one after another."""
    with alone(), tempfile.TemporaryDirectory(prefix="sandbox-integrations-") as made, served(Path(made)) as deployment:
        for client in clients:
            try:
                python = environment(client, Path(made))
            except NotInstalled as error:
                yield failed(client, f"cannot be installed here: {error}")
                continue
            for words in client.runs:
                yield drive(client, python, deployment, words)


def table(shown: Sequence[Row], titles: Mapping[str, str]) -> str:
    """Write the rows for the page."""
    lines = ["| client | version | through | era | shown |", "|---|---|---|---|---|"]
    for row in shown:
        told = ", ".join(row["shown"]) + ("" if row["ok"] else f"; **not shown**: {row['why']}".replace("|", "\\|"))
        lines.append(f"| {titles[row['client']]} | {row['version']} | {row['way']} | {row['era'] or '-'} | {told} |")
    return "\n".join(lines) + "\n"


def write(shown: Sequence[Row]) -> None:
    """Put the table between the page's marks."""
    text = PAGE.read_text("utf-8")
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    titles = {client.requirements[0].partition("==")[0].partition("[")[0]: client.title for client in CLIENTS}
    PAGE.write_text(f"{text[:before]}\n{table(shown, titles)}\n{text[after:]}", "utf-8")


def main(words: Sequence[str]) -> int:
    """Run the clients that are asked for, all by default."""
    known = {client.name: client for client in CLIENTS}
    parser = argparse.ArgumentParser(prog="scripts/integrations", description="Real clients against a real deployment.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(known)}; all by default")
    parser.add_argument("--short", action="store_true", help="those that are quick: under two minutes")
    parser.add_argument(
        "--write", action="store_true", help="write the table in docs/integrations.md; of all clients only"
    )
    parser.add_argument("--pin", action="store_true", help="resolve the pins anew instead")
    asked = parser.parse_args(words)
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"{unknown[0]!r}: {', '.join(known)} are accepted")
    if asked.write and (asked.names or asked.short):
        parser.error("--write writes the whole table: it goes with neither names nor --short")
    clients = [known[name] for name in asked.names] or [each for each in CLIENTS if each.is_short or not asked.short]
    if asked.pin:
        for client in clients:
            if not client.npm_before:
                pin(client)
        return 0
    begun = time.monotonic()
    shown: list[Row] = []
    for row in rows(clients):
        print(json.dumps(row), flush=True)
        shown.append(row)
    if asked.write:
        write(shown)
    count = sum(row["ok"] for row in shown)
    print(f"{count} of {len(shown)} ok in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return 0 if count == len(shown) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
