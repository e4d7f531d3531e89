"""How does a first spec for a table look? Text that passes lint as written, with comments for its author."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from sandbox.deployment import Misconfigured
from sandbox.problems import LintFailed, Mark
from sandbox.reasons import quoted
from sandbox.settings import Settings
from sandbox.specs.findings import Findings, choices, suggestion
from sandbox.specs.live import CatalogueOf, Target, Targets
from sandbox.specs.tool import TOOL_NAME, Surroundings, read_tool
from sandbox.sql import TableShape, folded
from sandbox.toolspec import Connection, SqlEngine

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_YAML_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_OWNER: Final = "your-team@example.com"
_NUMBERS: Final[Mapping[SqlEngine, str]] = {
    "sqlite": "",
    "postgres": "; of a number, claim('NAME')::bigint",
    "duckdb": "",
    "mysql": "",
}
"""How a claim is compared with a number, where it is a text to the engine."""
_ENGINES: Final[Mapping[SqlEngine, str]] = {
    "sqlite": "SQLite",
    "postgres": "PostgreSQL",
    "duckdb": "DuckDB",
    "mysql": "MariaDB",
}
"""What a model knows an engine by."""


def starter_spec(
    connections: Mapping[str, Connection], connection: str, table: str, name: str, catalogue_of: CatalogueOf
) -> tuple[str, str]:
    """Return the name and the text of a first spec for `table`; raises `Misconfigured` if there can be none."""
    target = _target(connections, connection, catalogue_of)
    shape = _shape(target, table)
    if name and not TOOL_NAME.fullmatch(name):
        raise Misconfigured(f"--name {quoted(name)}: 1 to 128 of `A-Z a-z 0-9 _ . -` are accepted")
    name = name or _NOT_IN_A_NAME.sub("_", f"{connection}.{shape.name}")[:128]
    _check_admitted(name, target.connection)
    text = _text(name, target.connection, shape)
    around = Surroundings(Targets(connections, lambda _: target.catalogue), frozenset(connections), Settings())
    read = read_tool(f"{name}.yaml", text.encode(), around)
    if read.findings.problems:
        raise LintFailed(read.findings.problems)
    return name, text


def _target(connections: Mapping[str, Connection], name: str, catalogue_of: CatalogueOf) -> Target:
    if name not in connections:
        raise Misconfigured(f"`connections.toml` has no connection {quoted(name)}{suggestion(name, connections)}")
    findings = Findings("connections.toml")
    target = Targets(connections, catalogue_of).at(name, Mark(0, 0), findings)
    if target is None:
        raise Misconfigured(findings.problems[0].message)
    return target


def _shape(target: Target, table: str) -> TableShape:
    reachable = target.reachable()
    shape = reachable.get(folded(table))
    if shape is None:
        hint = suggestion(table, [known.name for known in reachable.values()])
        where = f"connection {quoted(target.connection.name)}"
        raise Misconfigured(f"{where} has no table {quoted(table)} within its ceiling{hint}")
    return shape


def _check_admitted(name: str, connection: Connection) -> None:
    """Raise `Misconfigured` for a tool that may not use the connection."""
    if not connection.admits(name):
        admitted = choices(connection.tools or ())
        message = f"tool {quoted(name)} is outside the ceiling of connection {quoted(connection.name)}"
        raise Misconfigured(f"{message}, which admits {admitted}; --name gives another name")


def _yaml(text: str) -> str:
    """Return `text` as YAML reads it everywhere: plain where that is safe, else in double quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def _single(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _columns(shape: TableShape) -> str:
    shown = [
        (column, _yaml(column.name)) for column in shape.columns if not column.is_hidden and column.name.isprintable()
    ]
    width = max((len(name) for _, name in shown), default=0)
    lines = (
        f"        - {name:<{width}}  # {quoted(column.declared_type or 'no declared type')[1:-1]}"
        for column, name in shown
    )
    return "\n".join(lines)


def _text(name: str, connection: Connection, shape: TableShape) -> str:
    # WHY: a server's tables are called by names that need no quotes.
    is_plain = connection.engine in {"postgres", "mysql"}
    identifier = shape.name if is_plain else '"' + shape.name.replace('"', '""') + '"'
    numbers = _NUMBERS[connection.dialect]
    summary = _yaml(f"Read the {'view' if shape.kind == 'view' else 'table'} {shape.name} with SQL"[:200])
    return f"""\
# yaml-language-server: $schema=../schema/tool.v1.json
spec: tool/v1
name: {_yaml(name)}
version: 0.1.0
owner: {_OWNER}  # a person or team to ask
summary: {summary}  # one line for the model: what the tool does
use_when: The question needs figures from this table.  # one line for the model: when to choose it
kind: sql
effects: read
connection: {_yaml(connection.name)}

# The model writes the SQL. For a fixed question write a `statement:` with :parameters instead, and name those in
# `input:`, such as `region: {{type: string, enum: [EU, US], help: Sales region}}`.
input:
  sql: {{type: sql, help: One {_ENGINES[connection.dialect]} SELECT statement}}

allow:
  tables:
    {_yaml(shape.name)}:
      columns:  # what the model may see; delete what the tool does not need
{_columns(shape)}
      # row_filter: "COLUMN = claim('NAME')"  # only the rows whose COLUMN equals a claim of the caller's token{numbers}
      # mask: {{COLUMN: initials}}  # show a column in part: null, initials, last4, year or domain
      # aggregate_only: [COLUMN]  # only its sum, avg or count, of enough values

limits: {{seconds: 5, max_rows: 500, max_bytes: 256KiB, rate: 30/min, concurrency: 4}}

examples:  # run by `sandbox test`, shown to the model
  - call: {{sql: {_single(f"SELECT count(*) AS n FROM {identifier}")}}}
    # as: {{NAME: VALUE}}  # the claim that a row_filter reads; without it the call is refused
    expect: {{row_count: 1}}
  - call: {{sql: {_single(f"DELETE FROM {identifier}")}}}
    expect: {{refused: SQL_NOT_READ_ONLY}}
"""  # noqa: S608 - an example in YAML; the gate proves it like any text before it runs
