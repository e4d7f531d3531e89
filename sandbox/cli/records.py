"""What does a record say, for people and for programs? Of whatever version: what is not known is told as its number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sandbox.problems import counted
from sandbox.reasons import printable, shortened
from sandbox.values import JsonObject

if TYPE_CHECKING:
    from sandbox.receipts.reader import LoggedRecord
    from sandbox.v1 import record_pb2

PSEUDONYM_SHOWN: Final = 8
"""Hexadecimal digits of a pseudonym in a table; enough to tell callers apart, and `--principal` takes them."""
NAME_SHOWN: Final = 9
_ENDS: Final = frozenset({"outcome", "orphan"})
"""Kinds of record that tell what came of an intent."""
TOOL_SHOWN: Final = 18


def record_facts(
    record: record_pb2.Record, names: Mapping[bytes, str] = MappingProxyType({}), about_call: str = ""
) -> dict[str, str | int | list[str]]:
    """Return what a record says, without what it leaves empty; of a leaf that is no record of ours, nothing.

    `names` are those of known pseudonyms; `about_call` is the call whose reading the record tells of.
    """
    if not record.schema_version:
        return {}
    facts: dict[str, str | int | list[str]] = {
        "kind": kind_name(record.kind),
        "call_id": record.call_id,
        "time": moment(record.wall_time_us),
        "status": status_name(record.status) if record.status else "",
        "tool": record.tool,
        "tool_version": record.tool_version,
        "reason": record.reason,
        "rule": record.rule,
        "policies": list(record.policy_rule_ids),
        "connection": record.connection,
        "tables": list(record.relations),
        "columns": list(record.columns),
        "functions": list(record.functions),
        "requests": list(record.requests),
        "rows": record.rows,
        "bytes": record.bytes,
        "lease_expires": moment(record.lease_expires_us) if record.lease_expires_us else "",
        "counted": record.counted,
        "payloads_below": record.payloads_below,
        "payload_days": record.payload_days,
        "archived_size": record.archived_size,
        "file": record.file,
        "effect": effect_name(record.effect),
        "intent": record.about_index_plus_one - 1 if kind_name(record.kind) in _ENDS else 0,
        "about_call": about_call,
        "name": names.get(record.principal_pseudonym, ""),
        "principal": record.principal_pseudonym.hex(),
        "binding": record.binding,
        "spec_digest": record.spec_digest.hex(),
        "policy_digest": record.policy_digest.hex(),
        "build": record.build,
    }
    return {name: value for name, value in facts.items() if value not in ("", [], 0)}


def kind_name(number: int) -> str:
    """Return a record kind in lower case; one that this version does not know as its number."""
    from sandbox.v1 import record_pb2

    return _name(record_pb2.RecordKind.items(), "RECORD_KIND_", number)


def status_name(number: int) -> str:
    """Return a record's status in lower case; one that this version does not know as its number."""
    from sandbox.v1 import record_pb2

    return _name(record_pb2.RecordStatus.items(), "RECORD_STATUS_", number)


def effect_name(number: int) -> str:
    """Return what is known of an effect; nothing where there was none to have."""
    from sandbox.v1 import record_pb2

    return _name(record_pb2.Effect.items(), "EFFECT_", number) if number else ""


def _name(items: Iterable[tuple[str, int]], prefix: str, number: int) -> str:
    names = {value: name for name, value in items}
    return names.get(number, str(number)).removeprefix(prefix).lower()


def moment(wall_time_us: int) -> str:
    """Return a record's time as RFC 3339; one beyond the calendar as the record says it."""
    try:
        return datetime.fromtimestamp(wall_time_us / 1e6, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{wall_time_us} µs since 1970 UTC"


def readable(role: str, payload: bytes) -> str:
    """Return a payload that cannot move a terminal: a file's lines as lines, anything else on one."""
    text = payload.decode("utf-8", "replace")
    if role == "source":
        return "\n".join(map(printable, text.splitlines()))
    try:
        return json.dumps(json.loads(text), ensure_ascii=True)
    except (ValueError, RecursionError):
        return printable(text)


def listed_json(listed: LoggedRecord, names: Mapping[bytes, str], about_call: str) -> JsonObject:
    """Return one line of `log list` for `--json`."""
    return {"index": listed.index, **record_facts(parsed(listed), names, about_call)}


def listed_line(listed: LoggedRecord, names: Mapping[bytes, str]) -> str:
    """Return one line of the table of `log list`; within 80 columns where the names allow it."""
    record = parsed(listed)
    tool = shortened(record.tool or record.file.rpartition("/")[2], TOOL_SHOWN)
    pseudonym = record.principal_pseudonym
    who = shortened(names.get(pseudonym, ""), NAME_SHOWN) or pseudonym.hex()[:PSEUDONYM_SHOWN]
    time = moment(record.wall_time_us)[:19].replace("T", " ")
    line = f"{listed.index:>6}  {time:<19}  {who:<{NAME_SHOWN}}  {tool:<{TOOL_SHOWN}}  {_ending(record)}"
    return printable(line).rstrip()


def parsed(listed: LoggedRecord) -> record_pb2.Record:
    """Return the record itself."""
    from sandbox.v1 import record_pb2

    return record_pb2.Record.FromString(listed.record)


def _ending(record: record_pb2.Record) -> str:
    """Return how it ended, in a word or two."""
    kind, status = kind_name(record.kind), status_name(record.status)
    if kind == "orphan":
        return kind
    if kind == "outcome":
        effect = effect_name(record.effect)
        return f"{effect}, {counted(record.rows, 'row')}" if status == "ok" else f"effect {effect}"
    if kind == "read" and status == "ok":
        return f"ok, {counted(record.rows, 'row')}"
    if record.counted and kind != "retention":
        is_test = kind == "self_test"
        return (
            f"{kind}, {counted(record.counted, 'tool')} not served"
            if is_test
            else f"{record.reason} {record.counted} times"
        )
    if record.about_index_plus_one:
        return f"{kind}, leaf {record.about_index_plus_one - 1}"
    return record.reason or (status if kind == "read" else kind)
