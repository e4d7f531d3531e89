"""What do callers hold, and does the log agree? A ledger of all answers, and its comparison with log and target."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, final

from sandbox.client import Answer, Pending, Refusal
from sandbox.deployment import Deployment
from sandbox.receipts.keys import RootKey
from sandbox.receipts.records import call_key
from sandbox.receipts.subjects import Subjects
from sandbox.stores.log import MAX_PAYLOADS
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.v1 import record_pb2

CHUNK: Final = 2_000
_ENDS: Final = frozenset({record_pb2.RECORD_KIND_OUTCOME, record_pb2.RECORD_KIND_ORPHAN})
UNHEARD: Final = "unheard"
"""What a caller of a write knows who got no answer."""


@final
@dataclass
class Ledger:
    """All that callers were told."""

    receipts: list[tuple[int, bytes]] = field(default_factory=list)
    """Of each verified receipt the leaf's index and the SHA-256 of the record."""
    told: dict[str, str] = field(default_factory=dict)
    """Of each write by its key: `done`, `none`, `unknown` or `unheard`."""
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each kind of call ended how."""
    wrong: list[str] = field(default_factory=list)
    """What must not have happened, a line each."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, kind: str, answer: Answer) -> str:
        """Keep an answer's receipt and return how the call ended: `result`, `pending` or the reason."""
        ended = "result"
        if isinstance(answer, Pending):
            ended = "pending"
        elif answer.receipt is not None:
            verified = answer.receipt.verified
            self.receipts.append((verified.index, hashlib.sha256(verified.leaf).digest()))
        if isinstance(answer, Refusal):
            ended = answer.reason
        self.count(kind, ended)
        return ended

    def count(self, kind: str, ended: str) -> None:
        """Count one end of a call."""
        with self._lock:
            self.outcomes[kind, ended] += 1

    def calls(self) -> int:
        """Return how many calls have ended."""
        with self._lock:
            return self.outcomes.total()


def watched(ledger: Ledger, name: str, act: Callable[[], None]) -> threading.Thread:
    """Return a thread that runs `act`, and whose death by whatever it raises is told as wrong."""

    def run() -> None:
        try:
            act()
        except BaseException as error:
            ledger.wrong.append(f"{name}: ended by {type(error).__name__}: {error}")
            raise

    return threading.Thread(target=run, name=name)


def effect_of(answer: Answer) -> str:
    """Return what the caller of a write knows of its effect."""
    if isinstance(answer, Refusal):
        return answer.effect or "none"
    return UNHEARD if isinstance(answer, Pending) else "done"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Everything counted, and everything that was lost."""

    records: int
    receipts: int
    effects: int
    intents: int
    orphans: int
    lost: Mapping[str, tuple[str, ...]]
    """What is lost, by what it is; all empty is the bar."""

    def count_lost(self) -> int:
        """Return how much was lost in all."""
        return sum(map(len, self.lost.values()))


@final
class LogRead:
    """What the log holds, read on from where it was read to before."""

    def __init__(self, deployment: Deployment) -> None:
        """Nothing has been read."""
        self._deployment = deployment
        self.digests: list[bytes] = []
        """The SHA-256 of each record, in order."""
        self.intended: set[str] = set()
        """The keys of writes that were intended."""
        self.intents = 0
        self.orphans: set[str] = set()
        """Calls that an orphan's record closed."""
        self.open: dict[int, str] = {}
        """The call of each intent whose end no record tells, by its leaf."""

    def read_on(self) -> None:
        """Read what has come since."""
        with closing(SqliteLog(self._deployment.log_database, is_read_only=True)) as store:
            subjects = Subjects(store, RootKey.read(self._deployment))
            while rows := store.records(len(self.digests), CHUNK):
                for index, _, content in rows:
                    self.digests.append(hashlib.sha256(content).digest())
                    self._take(store, subjects, index, record_pb2.Record.FromString(content))

    def _take(self, store: SqliteLog, subjects: Subjects, index: int, record: record_pb2.Record) -> None:
        if record.kind == record_pb2.RECORD_KIND_INTENT:
            self.intents += 1
            self.open[index] = record.call_id
            self.intended.add(_argument(store, subjects, index, record))
        elif record.kind in _ENDS:
            self.open.pop(record.about_index_plus_one - 1, None)
        if record.kind == record_pb2.RECORD_KIND_ORPHAN:
            self.orphans.add(record.call_id)


def _argument(store: SqliteLog, subjects: Subjects, index: int, record: record_pb2.Record) -> str:
    """Return the key that a write was intended with."""
    for position, descriptor in enumerate(record.payloads):
        stored = store.payload(index * MAX_PAYLOADS + position)
        if descriptor.role == "arguments" and stored is not None:
            opened = subjects.key_by_id(stored.subject).open(descriptor, stored, call_key(record.call_id))
            return str(json.loads(opened)["key"])
    return ""


def compare(read: LogRead, ledger: Ledger, times: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Return what is lost, by what it is, of what callers hold and the target counted; all empty is the bar."""
    return {
        "receipts that are not in the log": tuple(
            f"leaf {index}" for index, digest in ledger.receipts if [digest] != read.digests[index : index + 1]
        ),
        "writes told as done and not counted": _told(ledger, "done", times, is_in=False),
        "writes told as not begun and counted": _told(ledger, "none", times, is_in=True),
        "effects that took place twice": tuple(key for key, count in times.items() if count > 1),
        "effects without a durable intent": tuple(key for key in times if key not in read.intended),
        "what must not have happened": tuple(ledger.wrong),
    }


def _told(ledger: Ledger, told: str, times: Mapping[str, int], *, is_in: bool) -> tuple[str, ...]:
    return tuple(key for key, said in ledger.told.items() if said == told and (key in times) is is_in)


def judge(deployment: Deployment, read: LogRead, ledger: Ledger, times: Mapping[str, int]) -> Judgement:
    """Compare what callers hold and what the target counted with the log at rest."""
    read.read_on()
    return Judgement(
        records=len(read.digests),
        receipts=len(ledger.receipts),
        effects=sum(times.values()),
        intents=read.intents,
        orphans=len(read.orphans),
        lost={
            **compare(read, ledger, times),
            "intents whose end no record tells": tuple({*open_calls(deployment), *read.open.values()}),
            "audits that failed": tuple(_audit(deployment)),
        },
    )


def sandbox(deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours over the deployment."""
    command = [sys.executable, "-m", "sandbox.cli.main", *arguments, "--deployment", str(deployment.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command


def open_calls(deployment: Deployment) -> list[str]:
    """Return the calls that `sandbox log open` names."""
    return [str(each["call_id"]) for each in json.loads(sandbox(deployment, "log", "open", "--json").stdout)["open"]]


def _audit(deployment: Deployment) -> Iterator[str]:
    """Yield why `sandbox log audit` is not content, if it is not."""
    done = sandbox(deployment, "log", "audit", "--key", str(deployment.keys / "log.vkey"), "--json")
    if done.returncode:
        yield f"exit code {done.returncode}: {(done.stdout or done.stderr).strip()}"
