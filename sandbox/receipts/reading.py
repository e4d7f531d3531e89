"""What does a caller hear when the log cannot be read? A refusal to come back later; the engine's error stays here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sandbox.reasons import Reason, Refused
from sandbox.stores.log import StoreUnavailable

RETRY_S: Final = 1.0


@contextmanager
def reading() -> Iterator[None]:
    """Turn the store's `StoreUnavailable` into `RECEIPT_LOG_UNAVAILABLE`; also a decorator of whole functions."""
    try:
        yield
    except StoreUnavailable as error:
        message = "the log cannot be read now; try again, the operator finds the cause in the event log"
        raise Refused(Reason.RECEIPT_LOG_UNAVAILABLE, message, is_recorded=False, retry_after_s=RETRY_S) from error
