"""Does a bare machine get all it needs, pinned, or one sentence that names what is missing?"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from source_tree import ROOT

LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")
SCRIPTS = ("scripts/demo", "scripts/test", "scripts/check", "scripts/generate", "scripts/lib/bootstrap.sh", ".ci/run")
TOOLS = ("bash", "cat", "cp", "cut", "sha256sum", "tail")
"""What the bootstrap may take for granted on any Debian."""


class BareMachine:
    """A checkout of nothing but the bootstrap, and a PATH with few commands on it."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.checkout = folder / "checkout"
        self.bin.mkdir(parents=True)
        self.checkout.mkdir()
        for name in ("scripts/lib/bootstrap.sh", "pyproject.toml", *LOCKS):
            (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.checkout / name)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)
        self.command("id", "echo 1000")

    def command(self, name: str, body: str) -> None:
        """Put a command on the PATH."""
        (self.bin / name).write_text(f"#!{self.bin}/bash\n{body}\n")
        (self.bin / name).chmod(0o755)

    def python(self, name: str, *, lacking: str) -> None:
        """Put a Python on the PATH that, like the environments it makes, has no modules named in `lacking` (`a|b`)."""
        lacks = f'case "$1 $2" in "-m "@({lacking})) exit 1 ;; esac'
        copy = 'cp --remove-destination "$0" .venv/bin/python'
        makes = f'[ "$1 $2" != "-m venv" ] || {{ {sys.executable} "$@"; {copy}; exit; }}'
        self.command(name, f'{lacks}\n{makes if lacking else ""}\nexec {sys.executable} "$@"')

    def bootstrap(self) -> subprocess.CompletedProcess[str]:
        """Try to install what the service needs, with no index to ask."""
        return subprocess.run(  # noqa: S603 - our own script
            [
                self.bin / "bash",
                "-O",
                "extglob",
                "-c",
                "set -euo pipefail; . scripts/lib/bootstrap.sh; bootstrap runtime",
            ],
            cwd=self.checkout,
            env={"PATH": str(self.bin), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "BASHOPTS": "extglob"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> BareMachine:
    return BareMachine(tmp_path)


@pytest.mark.requirement("house:install:missing-part-named")
def test_without_python_the_package_is_named(machine: BareMachine) -> None:
    done = machine.bootstrap()

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: no Python 3.11, 3.12 or 3.13 on PATH; install the package")


@pytest.mark.requirement("house:install:missing-part-named")
@pytest.mark.parametrize("lacking", ["venv|pip|ensurepip", "pip|ensurepip"])
def test_without_venv_and_pip_a_plain_user_is_told_the_package(machine: BareMachine, lacking: str) -> None:
    machine.python("python3.11", lacking=lacking)

    done = machine.bootstrap()

    assert done.returncode == 2
    assert re.fullmatch(
        r"error: this Python has neither ensurepip nor pip; install the package `python3\.\d+-venv` and run this again",
        done.stderr.splitlines()[-1],
    )


@pytest.mark.requirement("house:install:missing-part-named")
def test_without_an_index_one_sentence_says_what_is_needed(machine: BareMachine) -> None:
    machine.python("python3.11", lacking="")

    done = machine.bootstrap()

    assert done.returncode == 2
    assert "error: the locked packages could not be installed" in done.stderr.splitlines()[-1]
    assert not (machine.checkout / ".venv" / "installed-runtime").exists()


@pytest.mark.requirement("house:install:hashed")
@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_version_and_hashes(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text("utf-8").strip())

    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+( ; .+?)? \\\n", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_well_formed(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)  # noqa: S603, S607 - our own script, whichever bash is here

    assert script.endswith(".sh") or (ROOT / script).stat().st_mode & 0o111


@pytest.mark.requirement("house:install:package-data")
def test_the_wheel_carries_the_demo_and_the_types(tmp_path: Path) -> None:
    subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())

    data = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "sandbox").rglob("*.[cmy][sda]*") if path.suffix != ".py"
    }
    assert {"sandbox/py.typed", "sandbox/data/flights/flights.csv", "sandbox/data/flights/ORIGIN.md"} <= names
    assert {name for name in data if name.endswith((".csv", ".md", ".yaml"))} <= names
    assert not [name for name in names if not name.startswith(("sandbox/", "tool_sandbox-"))]
