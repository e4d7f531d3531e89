"""How far may specs reach on a connection? Reads `ceiling`, the operators' bound on every author."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.reasons import quoted
from sandbox.specs.findings import Findings, Rule, suggestion
from sandbox.specs.toml_values import is_table, texts
from sandbox.toml_places import TomlPlaces
from sandbox.toolspec import SqlCeiling

CEILING_SENTENCE: Final = (
    '`ceiling = {tables = ["NAME", …]}`, with columns `{tables = {NAME = ["COLUMN", …]}}`, '
    'or openly `ceiling = {tables = "all"}`,'
)
_KEYS: Final = ("tables", "tools")
_TOOLS: Final = '`tools = ["shop.*"]`, names of tools where `*` stands for anything,'
_TOOL_PATTERN: Final = re.compile(r"[A-Za-z0-9_.*-]{1,128}")
_NOTHING: Final = SqlCeiling(MappingProxyType({}))


def read_sql_ceiling(name: str, entry: Mapping[str, object], findings: Findings, places: TomlPlaces) -> SqlCeiling:
    """Return the tables and columns that any spec may read on the connection `name`; notes what is wrong."""
    value, mark = entry.get("ceiling"), places.of(name, "ceiling")
    if value is None:
        message = f"connection {quoted(name)} has no ceiling; {CEILING_SENTENCE} is required"
        findings.add(Rule.CONNECTION_CEILING, mark, message)
        return _NOTHING
    for key in value if is_table(value) else ():
        if key not in _KEYS:
            findings.add(Rule.CONNECTION_KEY, mark, f"unknown key {quoted(key)} in a ceiling{suggestion(key, _KEYS)}")
    tables = value.get("tables") if is_table(value) else None
    if tables == "all":
        return SqlCeiling(None)
    if names := texts(tables):
        return SqlCeiling(MappingProxyType(dict.fromkeys(names)))
    if is_table(tables) and tables:
        columns = {table: _columns(name, table, said, findings, places) for table, said in tables.items()}
        return SqlCeiling(MappingProxyType(columns))
    message = f"the ceiling of {quoted(name)} names no tables; {CEILING_SENTENCE} is accepted"
    findings.add(Rule.CONNECTION_CEILING, mark, message)
    return _NOTHING


def read_tools(
    name: str, entry: Mapping[str, object], findings: Findings, places: TomlPlaces
) -> tuple[str, ...] | None:
    """Return the patterns of the tools that may use the connection `name`; None where its ceiling does not say."""
    ceiling = entry.get("ceiling")
    value = ceiling.get("tools") if is_table(ceiling) else None
    if value is None or value == "all":
        return None
    patterns = texts(value)
    wrong = next((pattern for pattern in patterns if not _TOOL_PATTERN.fullmatch(pattern)), None)
    if not patterns or wrong is not None:
        found = "names no tools" if wrong is None else f"names tool {quoted(wrong)}"
        message = f"the ceiling of {quoted(name)} {found}; {_TOOLS} is accepted"
        findings.add(Rule.CONNECTION_CEILING, places.of(name, "ceiling"), message)
    return patterns


def _columns(name: str, table: str, said: object, findings: Findings, places: TomlPlaces) -> frozenset[str] | None:
    """Return the columns of one table; None where the file says `all`."""
    columns = frozenset(texts(said))
    if not columns and said != "all":
        message = f'the ceiling of {quoted(name)} names no columns of {quoted(table)}; a list, or `"all"`, is accepted'
        findings.add(Rule.CONNECTION_CEILING, places.of(name, "ceiling"), message)
    return None if said == "all" else columns
