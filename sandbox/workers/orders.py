"""What does a worker need to know? Handed to it on its stdin, for a command line is anybody's to read.

After the orders each byte on stdin is a word of the parent's. Its end is the parent's end, and the worker's too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Self, final

DRAIN: Final = b"d"
"""Take no new calls, give running ones their grace, end."""
HURRY: Final = b"h"
"""End the grace at once."""
READY: Final = "ready"
"""What a worker writes on its stdout once it answers calls, with the number of its tools."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Which worker this is, what it serves, and the descriptors that it has inherited."""

    root: str
    listen: str
    http_listen: str
    """Empty: no HTTP door."""
    grace_s: float
    worker: int
    workers: int
    secret: str
    """Of the digests in the shared counts, in hexadecimal digits."""
    counts: int
    """The memory of `limits.shared`."""
    roll: int
    """The memory that says who is there (`switchboard.Roll`)."""
    receiving: int
    """The socket that this worker alone reads."""
    sending: list[int]
    """Of each worker the socket that all others write to."""

    def line(self) -> bytes:
        """Return them as they are written."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Self:
        """Read what `line` has written; raises `ValueError` or `TypeError` for anything else."""
        return cls(**json.loads(line))
