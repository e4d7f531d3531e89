"""What have the drivers in common? What a fake model asks, what is checked of every client, and the line that tells it.

A driver is called as `with_CLIENT.py DEPLOYMENT SANDBOX HTTP [WAY ERA]` in the client's own environment: the
deployment's folder, the command `sandbox` of the checkout, and the address of the HTTP door. Nothing here is from
outside Python.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

DELETED = "DELETE FROM orders"
ROWS = [[12]]
"""Of the starter's orders, those that the agent's token lets be counted."""
TOOLS = ["shop__order_by_id", "shop__query"]
"""By the names that models take, which have no dot."""

SHOWN = ("list", "refusal", "result", "receipt", "snippet")
"""All that can be shown, in the order in which a row has it."""


def asked_next(told: str | None) -> str | None:
    """Say what the fake model asks for once told this: first what is refused, then what the refusal proposes."""
    if told is None:
        return DELETED
    accepted = re.search(r"this tool runs a single `(\w+)`", told)
    return f"{accepted[1]} count(*) AS n FROM orders" if accepted else None


class Telling:
    """What one client has shown so far. Each `check_…` raises `AssertionError` where it shows something else."""

    def __init__(self, client: str, way: str, era: str, version: str) -> None:
        self.deployment, self.sandbox, self.http = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
        self.client = client
        self.way = way
        self.era = era
        self.version = version
        self.shown: list[str] = []

    def check_listed(self, names: list[str]) -> None:
        """Both of the starter's tools are offered, and by these very names but for the dot."""
        assert sorted(name.replace(".", "__") for name in names) == TOOLS, names
        self.shown.append("list")

    def check_refused(self, told: str) -> None:
        """What the model reads of the refusal names its reason and what would be accepted."""
        assert "SQL_NOT_READ_ONLY" in told, told
        assert asked_next(told) is not None, told
        self.shown.append("refusal")

    def check_rows(self, told: str | dict[str, Any]) -> dict[str, Any]:
        """What the model reads of the result is JSON with the rows; returned as it was read."""
        found: dict[str, Any] = json.loads(told) if isinstance(told, str) else told
        assert found["rows"] == ROWS, found
        self.shown.append("result")
        return found

    def check_receipts(self, *receipts: bytes | str) -> None:
        """`sandbox log verify` takes each receipt; it asks nobody."""
        for receipt in receipts:
            text = receipt.encode() if isinstance(receipt, str) else receipt
            key = self.deployment / "keys" / "log.vkey"
            done = subprocess.run(  # noqa: S603 - our own command
                [self.sandbox, "log", "verify", "/dev/stdin", "--key", str(key)],
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            assert done.returncode == 0, done.stdout.decode()
        self.shown.append("receipt")

    def receipt_uri(self, meta: dict[str, Any]) -> str:
        """Return where the receipt of an answer is to be read, by the answer's `_meta`."""
        return f"sandbox://calls/{meta['sandbox.v1/receipt']['call_id']}/receipt"

    def printed(self, host: str) -> bytes:
        """Return what `sandbox connect HOST` prints."""
        return subprocess.run(  # noqa: S603 - our own command
            [self.sandbox, "connect", host, "--deployment", str(self.deployment)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        ).stdout

    def snippet(self, host: str) -> dict[str, Any]:
        """Run what `sandbox connect HOST` prints, word for word, and return the names that it leaves."""
        names: dict[str, Any] = {}
        program = compile(self.printed(host), f"sandbox connect {host}", "exec")
        exec(program, names)  # noqa: S102 - that it runs is the proof
        self.shown.append("snippet")
        return names

    def line(self, why: str) -> str:
        """Write the row."""
        row = {"client": self.client, "version": self.version, "way": self.way, "era": self.era}
        return json.dumps({**row, "shown": sorted(self.shown, key=SHOWN.index), "ok": not why, "why": why})


@contextmanager
def telling(client: str, way: str, era: str = "", version: str = "") -> Iterator[Telling]:
    """Print one JSON line for what the block shows, however it ends."""
    told = Telling(client, way, era, version or metadata.version(client))
    why = ""
    try:
        yield told
    except BaseException as error:  # noqa: BLE001 - a client may raise anything; the row says what
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        traceback.print_exception(error)
        why = f"{type(error).__name__}: {error}".splitlines()[0]
    print(told.line(why), flush=True)
