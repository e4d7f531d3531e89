"""How do the name rules refuse? Each takes one kind of finding; the first in the text is told."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.reasons import Reason
from sandbox.sql.names import Finding, FindingKind
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved


def refuse_first(
    resolved: Resolved, kind: FindingKind, reason: Reason, rule: str, sentence: Callable[[Finding], str]
) -> None:
    """Refuse for the first finding of `kind`, if there is one."""
    if not resolved.findings:
        return
    found = [finding for finding in resolved.findings if finding.kind == kind]
    if found:
        first = min(found, key=lambda finding: finding.start)
        raise refused(
            reason,
            rule,
            sentence(first),
            text=resolved.parsed.lexed.text,
            start=first.start if first.start >= 0 else _place_of(resolved, first.name),
            construct=first.name[:40] or kind,
        )


def _place_of(resolved: Resolved, name: str) -> int:
    """Where a word stands that the tree keeps no place for."""
    lexed = resolved.parsed.lexed
    return next((token.start for token in lexed.tokens if token.key.strip("'").upper() == name.upper()), 0)
