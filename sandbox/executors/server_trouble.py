"""How does a database's server fail whoever talks to it? In the same few ways, whichever engine it runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sandbox.reasons import Reason, Refused

Trouble: TypeAlias = Literal["busy", "database", "login", "method", "tls", "resolve", "timed_out", "connect", "other"]
"""What keeps a login out; each engine says it to operators in its own words."""


class Gone(Exception):
    """The server cannot be reached, or does not answer as its engine does. `was_refused`: it wants no such login."""

    def __init__(self, trouble: Trouble = "other", *, was_refused: bool = False) -> None:
        super().__init__("refused" if was_refused else "gone")
        self.trouble: Trouble = trouble
        self.was_refused = was_refused


class TooMuch(Exception):
    """One row is larger than a whole result may be."""


class ServerError(Exception):
    """The server answered with an error, of which no word is kept."""

    def __init__(self, code: str) -> None:
        """Keep the engine's code of it."""
        super().__init__(code)
        self.code = code


def unavailable() -> Refused:
    """Return the refusal for a server that does not answer now, or not as its engine does."""
    message = "the database cannot run this now: unreachable, busy, locked or stopping; the same call may succeed soon"
    return Refused(Reason.EXECUTOR_UNAVAILABLE, message, retry_after_s=1.0)
