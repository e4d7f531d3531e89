"""Which tools are there? Reads every file of `toolspecs/`, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.problems import LintFailed, Mark, Problem
from sandbox.reasons import quoted
from sandbox.settings import Settings
from sandbox.specs.connections import ConnectionsRead
from sandbox.specs.findings import Findings, Rule, suggestion
from sandbox.specs.live import CatalogueOf, Targets, check_ceiling
from sandbox.specs.tool import Surroundings, ToolRead, read_tool
from sandbox.specs.yaml import MAX_FILE_BYTES
from sandbox.toolspec import Connection, FileTarget, ToolName, ToolSpec

MAX_FILES: Final = 1_000


@final
@dataclass(frozen=True, slots=True)
class SpecSet:
    """The tools of one deployment."""

    tools: Mapping[ToolName, ToolSpec]
    """In name order, each held to what its target has."""
    unheld: Mapping[ToolName, ToolSpec] = field(default_factory=dict)
    """Those whose server could not be asked: sound as far as their files tell, without tables, never planned with."""
    away: Mapping[str, str] = field(default_factory=dict)
    """The connections of those, each with why it could not be asked."""

    @property
    def all(self) -> Mapping[ToolName, ToolSpec]:
        """Both, in name order."""
        both = {**self.tools, **self.unheld}
        return {name: both[name] for name in sorted(both)}


@final
@dataclass(frozen=True, slots=True)
class SpecsRead:
    """What the folder gave, good or bad."""

    specs: SpecSet
    """Those without a problem."""
    problems: tuple[Problem, ...]
    files: int


def load_specs(
    deployment: Deployment, connections: Mapping[str, Connection], catalogue_of: CatalogueOf, settings: Settings
) -> SpecSet:
    """Return the tools, or raise `LintFailed` with every problem of every file; a server that is away is none."""
    read = ConnectionsRead(connections, frozenset(connections), Findings(deployment.connections.name))
    found = lint_specs(deployment, read, catalogue_of, settings, may_be_away=True)
    if found.problems:
        raise LintFailed(found.problems)
    return found.specs


def load_one_spec(
    deployment: Deployment,
    connections: Mapping[str, Connection],
    catalogue_of: CatalogueOf,
    settings: Settings,
    name: str,
) -> tuple[SpecSet, tuple[Problem, ...]]:
    """Return the tools without a problem, the tool `name` among them, and the problems of the others.

    Raises `LintFailed` if it has a problem itself or cannot be told from those that have, `Misconfigured` if there is
    no such tool.
    """
    read = ConnectionsRead(connections, frozenset(connections), Findings(deployment.connections.name))
    found = lint_specs(deployment, read, catalogue_of, settings)
    if not any(tool == name for tool in found.specs.tools):
        if found.problems:
            raise LintFailed(found.problems)
        raise Misconfigured(f"there is no tool {quoted(name)}{suggestion(name, found.specs.tools)}")
    return found.specs, found.problems


def lint_specs(
    deployment: Deployment,
    connections: ConnectionsRead,
    catalogue_of: CatalogueOf,
    settings: Settings,
    *,
    may_be_away: bool = False,
) -> SpecsRead:
    """Read every spec file; raises `Misconfigured` only if the folder cannot be read.

    A server that cannot be asked is a problem of each spec that needs it, unless it `may_be_away`.
    """
    targets = Targets(connections.connections, catalogue_of, may_be_away=may_be_away)
    around = Surroundings(targets, connections.names, settings)
    problems: list[Problem] = []
    reads: list[ToolRead] = []
    files = _files(deployment.toolspecs, problems)
    for path in files:
        source = _source(path, problems)
        if source is not None:
            reads.append(read_tool(path.name, source, around))
    _note_taken_names(reads)
    told_once = set(targets.absent.values())
    for read in reads:
        problems += (each for each in read.findings.problems if each.message not in told_once)
    problems += _absent_problems(deployment, connections, targets)
    problems += _ceiling_problems(connections, targets)
    good = {read.spec.name: read.spec for read in reads if read.spec and not read.findings.problems}
    unheld = {name: good[name] for name in sorted(good) if good[name].connection in targets.away}
    tools = {name: good[name] for name in sorted(good) if name not in unheld}
    return SpecsRead(SpecSet(MappingProxyType(tools), unheld, targets.away), tuple(problems), len(files))


def _files(folder: Path, problems: list[Problem]) -> list[Path]:
    """Return the spec files in name order; a file that looks like a spec and would not be read is a problem."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise Misconfigured(f"{folder}: cannot be read ({error.strerror}); a deployment has one") from error
    files = [path for path in entries if path.suffix == ".yaml"]
    for path in entries:
        if path.suffix.lower() in {".yml", ".yaml", ".json"} and path not in files:
            _add(problems, path, Rule.FILE_NAME, "not read; a tool spec's file ends in `.yaml`")
        elif path.is_dir():
            _add(problems, path, Rule.FILE_NAME, "a folder is not read; tool specs lie side by side in `toolspecs/`")
    if len(files) > MAX_FILES:
        _add(problems, files[MAX_FILES], Rule.FILE_NAME, f"{len(files)} spec files; at most {MAX_FILES} are accepted")
    return files[:MAX_FILES]


def _source(path: Path, problems: list[Problem]) -> bytes | None:
    """Return the content; of a file that is too large, no more than tells so."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        _add(problems, path, Rule.YAML_UNREADABLE, f"cannot be read ({error.strerror})")
        return None


def _add(problems: list[Problem], path: Path, rule: Rule, message: str) -> None:
    findings = Findings(f"toolspecs/{quoted(path.name, 200)[1:-1]}")
    findings.add(rule, None, message)
    problems += findings.problems


def _note_taken_names(reads: list[ToolRead]) -> None:
    first: dict[str, ToolRead] = {}
    for read in reads:
        if read.name is None:
            continue
        earlier = first.setdefault(read.name, read)
        if earlier is not read:
            place = f"{earlier.findings.file}:{earlier.name_mark.line}"
            message = f"tool name {quoted(read.name)} is taken by {place}"
            read.findings.add(Rule.NAME_TAKEN, read.name_mark, message)


def _absent_problems(deployment: Deployment, connections: ConnectionsRead, targets: Targets) -> list[Problem]:
    """Return one problem for each database file that does not exist, however many specs need it."""
    findings = connections.findings
    before = len(findings.problems)
    for name in sorted(targets.absent):
        target, root = connections.connections[name].target, deployment.root.absolute()
        if not isinstance(target, FileTarget):
            continue
        path = Path(target.path)
        shown = quoted(str(path.relative_to(root) if path.is_relative_to(root) else path), 200)
        mark = connections.path_marks.get(name, Mark(0, 0))
        findings.add(
            Rule.CONNECTION_PATH, mark, f"the database file {shown} of connection {quoted(name)} does not exist"
        )
    return findings.problems[before:]


def _ceiling_problems(connections: ConnectionsRead, targets: Targets) -> list[Problem]:
    findings = connections.findings
    before = len(findings.problems)
    for target in targets.read:
        check_ceiling(target, connections.marks.get(target.connection.name, Mark(0, 0)), findings)
    return findings.problems[before:]
