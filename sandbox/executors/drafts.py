"""What is known of a text that a model proposes? Proven or refused once, and remembered under all it was judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from sandbox.executors.plan_cache import PlanCache
from sandbox.executors.ready import Draft, ReadyTool
from sandbox.reasons import Refused
from sandbox.settings import SqlSettings
from sandbox.stages import Principal


@final
class Drafts:
    """Drafts of the plans of texts, and refusals of texts."""

    def __init__(self, bounds: SqlSettings, spend_cold_parse: Callable[[Principal], None]) -> None:
        """Remember as many texts as `bounds` say; who brings a new one pays for it."""
        self._bounds = bounds
        self._spend_cold_parse = spend_cold_parse
        self._known: PlanCache[Draft | Refused] = PlanCache(bounds.plan_cache)

    def of(self, ready: ReadyTool, text: str, payer: Principal | None) -> Draft:
        """Return the draft of a text under a tool's rules; raises `Refused`."""
        key = (text, ready.spec.digest, ready.connection.digest, ready.catalogue.fingerprint)
        known = self._known.get(key)
        if known is None:
            if payer is not None:
                self._spend_cold_parse(payer)
            try:
                known = ready.draft(text, self._bounds)
            except Refused as refused:
                known = anew(refused)
            self._known.put(key, known)
        if isinstance(known, Refused):
            raise anew(known)
        return known


def anew(refused: Refused) -> Refused:
    """Return the same refusal unraised: an exception keeps the frames it was raised through."""
    again = Refused(
        refused.reason,
        refused.message,
        rule=refused.rule,
        retry_after_s=refused.retry_after_s,
        line=refused.line,
        column=refused.column,
    )
    again.metadata = refused.metadata
    return again
