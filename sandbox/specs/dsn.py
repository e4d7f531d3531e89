"""Where does a connection's dsn lie? Not in `connections.toml`, which goes into the log."""

from __future__ import annotations

from sandbox.problems import Mark
from sandbox.reasons import quoted
from sandbox.specs.findings import Findings, Rule
from sandbox.specs.secret_places import SecretPlaces
from sandbox.specs.toml_values import is_table
from sandbox.toolspec import SecretSource


def read_dsn_source(
    name: str, value: object, secrets: SecretPlaces, findings: Findings, mark: Mark
) -> SecretSource | None:
    """Return where the dsn of connection `name` lies, or note what is wrong; the line itself is never shown."""
    accepted = f'`dsn = {{env = "NAME"}}`, `{{file = "secrets/{name}.dsn"}}` or `{{vault = "secret/data/{name}#dsn"}}`'
    source: SecretSource | None = None
    if value is None:
        complaint = f"connection {quoted(name)} needs a `dsn`; {accepted} is accepted"
    elif isinstance(value, str):
        complaint = f"the dsn of {quoted(name)} stands here in plain text; {accepted} keeps the secret out of this file"
    elif not is_table(value) or len(value) != 1:
        complaint = f"the dsn of {quoted(name)} does not say where it lies; {accepted} is accepted"
    else:
        ((kind, where),) = value.items()
        source, complaint = secrets.source(kind, where, f"the dsn of {quoted(name)}")
    if complaint:
        findings.add(Rule.CONNECTION_VALUE, mark, complaint, may_show_line=False)
        return None
    return source
