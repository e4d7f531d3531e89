"""Where does a connection's dsn lie? In a variable or a file of its own: `connections.toml` goes into the log."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Final

from sandbox.problems import Mark
from sandbox.reasons import quoted
from sandbox.specs.findings import Findings, Rule, suggestion
from sandbox.specs.toml_values import is_table
from sandbox.toolspec import EnvSecret, FileSecret, SecretSource

_KINDS: Final = ("env", "file")
_LATER: Final = ("vault",)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def read_dsn_source(name: str, value: object, root: Path, findings: Findings, mark: Mark) -> SecretSource | None:
    """Return where the dsn of connection `name` lies, or note what is wrong; the line itself is never shown."""
    accepted = f'`dsn = {{env = "NAME"}}` or `dsn = {{file = "secrets/{name}.dsn"}}`'
    source: SecretSource | None = None
    if value is None:
        complaint = f"connection {quoted(name)} needs a `dsn`; {accepted} is accepted"
    elif isinstance(value, str):
        complaint = f"the dsn of {quoted(name)} stands here in plain text; {accepted} keeps the secret out of this file"
    elif not is_table(value) or len(value) != 1:
        complaint = f"the dsn of {quoted(name)} does not say where it lies; {accepted} is accepted"
    else:
        ((kind, where),) = value.items()
        source, complaint = _source(kind, where, root, f"the dsn of {quoted(name)}")
    if complaint:
        is_later = is_table(value) and not set(_LATER).isdisjoint(value)
        rule = Rule.CONNECTION_NOT_BUILT if is_later else Rule.CONNECTION_VALUE
        findings.add(rule, mark, complaint, may_show_line=False)
        return None
    return source


def _source(kind: str, where: object, root: Path, what: str) -> tuple[SecretSource | None, str]:
    """Return the source, and what is wrong with it or nothing."""
    if kind in _LATER:
        return None, f"{what} lies in {quoted(kind)}, which is not built yet in this version; accepted: `env`, `file`"
    if kind not in _KINDS:
        return None, f"{what} lies in {quoted(kind)}{suggestion(kind, _KINDS)}"
    if kind == "env":
        if isinstance(where, str) and _VARIABLE.fullmatch(where):
            return EnvSecret(where), ""
        return None, f"{what}: `env` takes the name of a variable; letters, digits and `_` are accepted"
    if not isinstance(where, str) or not where or not where.isprintable():
        return None, f"{what}: `file` takes the path of a file, relative to the deployment or absolute"
    path = root.absolute() / where
    return FileSecret(str(path)), _open_to_others(path, f"{what}: the file {quoted(where, 200)}")


def _open_to_others(path: Path, what: str) -> str:
    """Say whether others than its owner can read a file; one that is not there is told when it is needed."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return ""
    return f"{what} has mode {mode:04o}, which lets others read it; only 0600 is accepted" if mode & 0o077 else ""
