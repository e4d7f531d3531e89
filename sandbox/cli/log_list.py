"""`sandbox log list`: what is in the log, the newest first, for a reviewer who looks for a call."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from sandbox.cli.common import DeploymentOption, ExitCode, JsonOption, emit, fail
from sandbox.cli.records import NAME_SHOWN, TOOL_SHOWN, listed_json, listed_line, parsed
from sandbox.deployment import Misconfigured
from sandbox.problems import did_you_mean
from sandbox.reasons import Reason, quoted

MAX_LISTED: Final = 1000
HEADER: Final = f"{'leaf':>6}  {'time (UTC)':<19}  {'who':<{NAME_SHOWN}}  {'tool or file':<{TOOL_SHOWN}}  how it ended"

_AGO: Final = re.compile(r"([1-9][0-9]{0,5})(s|min|h|d)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400}

_DAYS: Final = {"today": 0, "yesterday": 1}
"""Their beginnings, in UTC as every time in the table."""

SINCE: Final = "`2h`, `30min`, `7d`, `today`, `yesterday`, a date or a time such as `2026-03-09T12:00Z`"


def list_records(
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="At most so many.")] = 20,
    before: Annotated[int | None, typer.Option(min=0, help="Only leaves below this index: the next page.")] = None,
    tool: Annotated[str, typer.Option(help="Only this tool.")] = "",
    principal: Annotated[str, typer.Option(help="Only this identity: its name, or digits of its pseudonym.")] = "",
    outcome: Annotated[str, typer.Option(help="Only calls that ended so: ok, refused or fault.")] = "",
    reason: Annotated[str, typer.Option(help="Only refusals for this reason, such as `POLICY_DENIED`.")] = "",
    kind: Annotated[str, typer.Option(help="Only records of this kind, such as `read` or `access`.")] = "",
    since: Annotated[str, typer.Option(help="Only from then on: `2h`, `today`, or a date or time.")] = "",
    name: Annotated[str, typer.Option("--as", help="The identity that reads; policy must permit it.")] = "reviewer",
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """List records, the newest first. Nothing is decrypted; `sandbox log show LEAF` reads one."""
    from sandbox.reviewing import KINDS, OUTCOMES, Filters, Listing, LogUnreadable

    _check("--outcome", outcome, OUTCOMES)
    _check("--reason", reason, [*Reason])
    _check("--kind", kind, KINDS)
    since_us = _since(since) if since else 0
    try:
        with Listing.opened(deployment, name) as listing:
            filters = Filters(
                kind=KINDS.get(kind, 0),
                tool=tool,
                principal=listing.pseudonym_of(principal) if principal else "",
                status=OUTCOMES.get(outcome, 0),
                reason=reason,
                since_us=since_us,
            )
            found, following = listing.records(filters, before=before, limit=limit)
            names = listing.names(*([principal] if principal else []))
            about = [listing.call_about(parsed(listed)) for listed in found]
    except LogUnreadable as unreadable:
        fail(ExitCode.REFUSED, str(unreadable), is_json=json)
    if json:
        records = [listed_json(listed, names, call) for listed, call in zip(found, about, strict=True)]
        emit({"records": records, "next_before": following})
        return
    lines = [HEADER, *(listed_line(listed, names) for listed in found)] if found else ["no such record"]
    if following is not None:
        lines.append(f"there are more; add --before {following}")
    sys.stdout.write("\n".join(lines) + "\n")


def _check(option: str, given: str, accepted: Collection[str]) -> None:
    if given and given not in accepted:
        hint = did_you_mean(given, accepted) or f"; accepted: {', '.join(quoted(each) for each in accepted)}"
        raise Misconfigured(f"{option} {quoted(given)}: there is none{hint}")


def _since(text: str) -> int:
    """Return a moment in microseconds since 1970 UTC."""
    ago = _AGO.fullmatch(text)
    if ago:
        return int((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1e6)
    if text in _DAYS:
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return int((midnight - timedelta(days=_DAYS[text])).timestamp() * 1e6)
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1e6)
    except (ValueError, OverflowError) as error:
        raise Misconfigured(f"--since {quoted(text)}: {SINCE} is accepted") from error
