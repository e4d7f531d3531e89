"""How does the gate say no? One shape for every rule: a reason, a stable id, the construct and its place."""

from __future__ import annotations

from sandbox.reasons import Reason, Refused


def refused(  # noqa: PLR0913 - what every refusal of the gate must tell
    reason: Reason, rule: str, message: str, *, text: str, start: int, construct: str
) -> Refused:
    """Refuse for what stands at character `start` of the caller's `text`; the caller raises what this returns."""
    before = text[:start]
    line_start = before.rfind("\n") + 1
    return Refused(
        reason,
        message,
        rule=rule,
        line=before.count("\n") + 1,
        column=start - line_start + 1,
        construct=construct,
    )
