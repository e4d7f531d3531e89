"""How is the log of a deployment held open? One object a process: store, keys, committer."""

from __future__ import annotations

import contextlib
import enum
import hashlib
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Self, final

from sandbox.build import build_id
from sandbox.deployment import Deployment, Misconfigured
from sandbox.reasons import Effect, Reason, Refused
from sandbox.receipts.committed import Committed, nothing
from sandbox.receipts.committer import Committer
from sandbox.receipts.counted import RefusalBook
from sandbox.receipts.keys import RootKey, read_signer
from sandbox.receipts.note import NoteSigner
from sandbox.receipts.opening import KEY_FILE, check_against_left, check_before_opening
from sandbox.receipts.payloads import PayloadUnreadable
from sandbox.receipts.records import BOOT_BYTES, Draft, Entry, base_record, call_key, new_call_id, with_payloads
from sandbox.receipts.running import RunningCalls
from sandbox.receipts.space import Space
from sandbox.receipts.subjects import SERVICE, Subjects
from sandbox.settings import Settings
from sandbox.stores.log import LogStore, StoredCheckpoint, StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.v1 import record_pb2

PROBE_EVERY_S: Final = 1.0
"""After a failed batch, how often calls may find out whether the log can be written again."""


class RecordKind(enum.IntEnum):
    """The kinds of file whose bytes have leaves of their own, by the numbers of `record.proto`."""

    SPEC = 10
    POLICY = 11
    CONFIG = 12


_KINDS: Final = {
    RecordKind.SPEC: record_pb2.RECORD_KIND_SPEC,
    RecordKind.POLICY: record_pb2.RECORD_KIND_POLICY,
    RecordKind.CONFIG: record_pb2.RECORD_KIND_CONFIG,
}
_DIGEST_FIELDS: Final = {
    RecordKind.SPEC: "spec_digest",
    RecordKind.POLICY: "policy_digest",
    RecordKind.CONFIG: "config_digest",
}
"""Where the leaf of a file holds the SHA-256 of its bytes, so that an auditor without keys can follow it."""


@final
class ExecutionLog:
    """An open log. Everything that is written goes through `put`, or `append`, which waits for it."""

    def __init__(self, store: LogStore, signer: NoteSigner, root: RootKey, settings: Settings, space: Space) -> None:
        """Hold `store` open; `open` is the usual way."""
        self.store = store
        self.signer = signer
        self.root = root
        self.settings = settings
        self.boot = secrets.token_bytes(BOOT_BYTES)
        self.subjects = Subjects(store, root)
        self.running = RunningCalls()
        self.refusals = RefusalBook(settings.limits)
        self._space = space
        space.look(time.monotonic())
        self._committer = Committer(store, signer, self._due, lambda: space.look(time.monotonic()))
        self._probe_at = 0.0
        self._is_closing = False

    @classmethod
    def open(cls, deployment: Deployment, settings: Settings) -> Self:
        """Open the log of a deployment, making it if there is none; raises `Misconfigured`."""
        deployment.state.mkdir(mode=0o700, exist_ok=True)
        signer = read_signer(deployment, settings.log.origin)
        root = RootKey.read(deployment)
        try:
            store = SqliteLog(deployment.log_database)
        except StoreUnavailable as error:
            raise Misconfigured(f"{deployment.log_database}: the log cannot be opened ({error})") from error
        try:
            check_before_opening(store, signer, deployment.log_database)
            check_against_left(store, signer, deployment.checkpoint)
            _check_root_key(store, root, deployment)
            log = cls(store, signer, root, settings, Space(deployment.state, settings.log))
        except StoreUnavailable as error:
            store.close()
            raise Misconfigured(f"{deployment.log_database}: nothing is signed on top of this log ({error})") from error
        except BaseException:
            store.close()
            raise
        try:
            log.enroll_key()
        except BaseException:
            log.close()
            raise
        return log

    def put(self, draft: Draft, ended: Callable[[], None], told: Callable[[], None]) -> Committed:
        """Hand a record over (what is called when: `Committed`); raises `Refused` with `RECEIPT_LOG_UNAVAILABLE`."""
        try:
            return self._committer.put(draft, ended, told)
        except StoreUnavailable as error:
            raise unavailable() from error

    def wait_for(self, committed: Committed) -> None:
        """Wait for a record's place; raises `Refused` with `RECEIPT_LOG_UNAVAILABLE`, or `Fault`."""
        try:
            committed.wait()
        except StoreUnavailable as error:
            if committed.failure is None:  # else the committer knows, and may have written since
                self._committer.doubt(error)
            raise unavailable() from error

    def append(self, draft: Draft) -> Committed:
        """Append a record and wait for its place; raises what `put` and `wait_for` do."""
        committed = self.put(draft, nothing, nothing)
        self.wait_for(committed)
        return committed

    def newest_checkpoint(self) -> StoredCheckpoint:
        """Return the newest checkpoint that has been signed; raises `StoreUnavailable` where there is none."""
        stored = self.store.newest_signed_checkpoint()
        own = self._committer.newest
        newest = own if stored is None or (own is not None and own.size > stored.size) else stored
        if newest is None:
            raise StoreUnavailable("nothing is signed yet")
        return newest

    def note_of(self, checkpoint: StoredCheckpoint) -> bytes:
        """Return a stored checkpoint as a signed note; raises `StoreUnavailable` if its signature is not ours.

        # INVARIANT: reading signs nothing that was read: what another process left without a signature is signed as at
        # a start, if the log is found to be what was signed.
        """
        signature = checkpoint.signature or self._committer.signed(checkpoint) or self._written_back(checkpoint)
        if signature is None:  # of a batch of another process, which is busy or dead
            self._committer.sign_unsigned()
            signature = self._written_back(checkpoint)
        if signature is None or not self.signer.is_ours(checkpoint.size, checkpoint.root, signature):
            raise StoreUnavailable("the checkpoint has no signature of ours")
        return self.signer.note(checkpoint.size, checkpoint.root, signature)

    def _written_back(self, checkpoint: StoredCheckpoint) -> bytes | None:
        again = self.store.checkpoint_covering(checkpoint.size - 1)
        return None if again is None else again.signature

    def must_be_writable(self) -> None:
        """Raise `Refused` with `RECEIPT_LOG_UNAVAILABLE` while the log cannot be written."""
        if self._space.is_short or not self._committer.is_alive:
            raise unavailable()
        if self._committer.failure is None:
            return
        now = time.monotonic()
        if now < self._probe_at:
            raise unavailable()
        self._probe_at = now + PROBE_EVERY_S
        try:
            self.store.probe()
        except StoreUnavailable as error:
            raise unavailable() from error
        self._committer.failure = None

    def enroll(self, kind: RecordKind, name: str, source: bytes) -> int:
        """Return the index of the leaf that commits to a file's bytes; appended only if they differ from the last."""
        digest = hashlib.sha256(source).digest()
        known = self.store.file(kind, name)
        if known is not None and known[1] == digest:
            return known[0]
        call_id = new_call_id()
        key = call_key(call_id)
        payload = self.subjects.key_of(SERVICE).seal("source", source, key)
        record = base_record(_KINDS[kind], call_id, build_id(), self.boot)
        record.file = name
        setattr(record, _DIGEST_FIELDS[kind], digest)
        entry = Entry(
            record=with_payloads(record, [payload]), call_id=key, payloads=(payload,), file=(kind, name, digest)
        )
        return self.append(entry).index

    def enroll_key(self) -> int:
        """Return the index of the leaf that names the log's own key."""
        # INVARIANT: the service's own key comes before the first leaf; its absence tells of another root key.
        self.subjects.key_of(SERVICE)
        digest = hashlib.sha256(self.signer.verifier_key.encode()).digest()
        kind = record_pb2.RECORD_KIND_KEY
        known = self.store.file(kind, KEY_FILE)
        if known is not None and known[1] == digest:
            return known[0]
        call_id = new_call_id()
        record = base_record(kind, call_id, build_id(), self.boot)
        record.verifier_key = self.signer.verifier_key
        entry = Entry(record=record.SerializeToString(), call_id=call_key(call_id), file=(kind, KEY_FILE, digest))
        return self.append(entry).index

    def close(self) -> None:
        """Write what is counted and close."""
        self._is_closing = True
        self._committer.close()
        self.store.close()

    def _due(self) -> list[tuple[Entry, Callable[[], None]]]:
        now = time.monotonic()
        due: list[tuple[Entry, Callable[[], None]]] = []
        tallies = self.refusals.due(now, is_everything=self._is_closing)
        for position, tally in enumerate(tallies):
            put_back = partial(self.refusals.put_back, [tally], now)
            try:
                due.append((self._counted(*tally), put_back))
            except StoreUnavailable:
                self.refusals.put_back(tallies[position:], now)
                break
        return due

    def _counted(self, subject: str, tool: str, reason: str, count: int) -> Entry:
        call_id = new_call_id()
        record = base_record(record_pb2.RECORD_KIND_REFUSALS_COUNTED, call_id, build_id(), self.boot)
        # WHY: a subject whose key is gone has no name any more, but what was refused stays counted.
        with contextlib.suppress(PayloadUnreadable):
            record.principal_pseudonym = self.subjects.key_of(subject).pseudonym
        record.tool, record.reason, record.counted = tool, reason, count
        record.status = record_pb2.RECORD_STATUS_REFUSED
        return Entry(record=record.SerializeToString(), call_id=call_key(call_id))


def proven_size(deployment: Deployment, origin: str) -> int:
    """Return how many records a log has that nobody writes, once it is found to be the one that was signed.

    Raises `Misconfigured` where it is not, by the checks that come before every opening.
    """
    signer = read_signer(deployment, origin)
    try:
        store = SqliteLog(deployment.log_database, is_read_only=True)
        try:
            check_before_opening(store, signer, deployment.log_database)
            check_against_left(store, signer, deployment.checkpoint)
            return store.head().size
        finally:
            store.close()
    except StoreUnavailable as error:
        raise Misconfigured(f"{deployment.log_database}: the log cannot be read ({error})") from error


def _check_root_key(store: LogStore, root: RootKey, deployment: Deployment) -> None:
    """Raise `Misconfigured` if the log was begun with another root key: nothing in it could be found or read."""
    # Earlier versions could leave a log that holds its key's leaf alone, which nothing is encrypted in.
    if store.head().size > 1 and not Subjects(store, root).knows(SERVICE):
        raise Misconfigured(f"{deployment.log_database}: the log was begun with another key than keys/root.key")


def untold(call_id: str) -> Refused:
    """Return the refusal to tell how a call with effects ended, for it is not on record."""
    message = (
        "the call has begun, and how it ended cannot be recorded now, so it is not told;"
        " `GetCall` tells it once it is on record, and the same `request_id` does not run it again"
    )
    return Refused(Reason.RECEIPT_LOG_UNAVAILABLE, message, is_recorded=False, effect=Effect.UNKNOWN, call_id=call_id)


def unavailable() -> Refused:
    """Return the refusal for a log that cannot be written."""
    message = "the log cannot be written, so nothing runs; the operator finds the cause in the event log"
    return Refused(Reason.RECEIPT_LOG_UNAVAILABLE, message, is_recorded=False, retry_after_s=PROBE_EVERY_S)
