"""How does a reviewer on the host read the log? As an identity that policy permits, payloads with a record of it first.

Opens the log, the identities and the policies and nothing else: a broken tool spec keeps nobody from looking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, final

from cryptography.exceptions import InvalidTag
from google.protobuf.message import DecodeError

from sandbox.deployment import Deployment, Misconfigured
from sandbox.identity import Authenticator
from sandbox.identity.enrolment import certificate_path, check_name, names_known, read_token, token_path
from sandbox.policy import load_policies_about
from sandbox.problems import did_you_mean
from sandbox.reasons import Reason, Refused, quoted
from sandbox.receipts import ExecutionLog, LogReader
from sandbox.receipts.keys import RootKey
from sandbox.receipts.payloads import PayloadUnreadable
from sandbox.receipts.reader import LoggedRecord
from sandbox.receipts.records import call_key
from sandbox.receipts.subjects import Subjects
from sandbox.receipts.tree import leaf_hash
from sandbox.settings import Settings, read_settings
from sandbox.stages import Action, Credential, Principal
from sandbox.stores.archive import ArchivedLog
from sandbox.stores.log import LogStore, StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog
from sandbox.v1 import record_pb2

LOG_ACTIONS: Final = frozenset({Action.LIST_RECORDS.value, Action.READ_PAYLOAD.value})
"""What a reviewer on the host does."""
CHUNK: Final = 1000
"""Records read at once."""
SQL_CHECK: Final = "sql-check"
"""Who `sandbox sql check --execute` calls as; it has neither certificate nor token on disk."""
_INDEX: Final = re.compile(r"[0-9]{1,15}")
_PSEUDONYM: Final = re.compile(r"[0-9a-f]{8,64}")
_FINDS: Final = "`sandbox log audit` finds the place"


class LogUnreadable(Exception):
    """What was asked for lies in the log and cannot be read: damaged, or its key is gone."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which records are wanted; a field that is empty or zero lets all pass."""

    kind: int = 0
    tool: str = ""
    principal: str = ""
    """The first hexadecimal digits of a pseudonym."""
    status: int = 0
    reason: str = ""
    since_us: int = 0
    """Wall clock in microseconds since 1970 UTC."""

    def let_pass(self, record: record_pb2.Record) -> bool:
        """Whether the record is wanted."""
        return (
            self.kind in {0, record.kind}
            and self.tool in {"", record.tool}
            and self.status in {0, record.status}
            and self.reason in {"", record.reason}
            and record.wall_time_us >= self.since_us
            and record.principal_pseudonym.hex().startswith(self.principal)
        )


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """A call as a reviewer reads it."""

    record: record_pb2.Record
    payloads: Mapping[str, bytes]
    """Decrypted, by role."""
    names: Mapping[bytes, str]
    """Who a pseudonym is."""
    about_call: str
    """Of the record of a reading: which call was read."""
    removed: tuple[str, ...]
    """Roles of payloads that retention has removed."""
    removed_by: int | None
    """The leaf that says so."""


@final
@dataclass(frozen=True, slots=True)
class OpenIntent:
    """A call that had begun and whose end no record tells."""

    logged: LoggedRecord
    is_running: bool
    """Whether its process lives, which will tell the end."""


@final
class Review:
    """An open log and the identity that reads it."""

    def __init__(
        self, deployment: Deployment, log: ExecutionLog, principal: Principal, archive: ArchivedLog | None
    ) -> None:
        """Read `log` as `principal`, what it has no more in `archive`; `opened` asks whether they may."""
        self._archive = archive
        self._deployment = deployment
        self._log = log
        self._principal = principal

    @classmethod
    @contextmanager
    def opened(cls, root: Path, name: str, archive: Path | None = None) -> Iterator[Self]:
        """Open the log of a deployment as the identity `name`, beside a running service; and perhaps an archive of it.

        Raises `Refused` like the RPC `ReadPayload` would, `LogUnreadable` for what is damaged.
        """
        deployment = Deployment(root.resolve())
        settings, _ = read_settings(deployment.settings)
        principal = _reviewer(deployment, settings, name, Action.READ_PAYLOAD)
        archived = None if archive is None else _archived(archive)
        with _damage_told(), closing(ExecutionLog.open(deployment, settings)) as log:
            yield cls(deployment, log, principal, archived)

    def call(self, call_id: str) -> Shown:
        """Return a call's last record and its decrypted payloads; that they are read is one record, made first.

        `call_id` may be the index of a leaf.
        """
        reader = LogReader(self._log, archive=self._archive)
        call_id = self._call_at(int(call_id)) if _INDEX.fullmatch(call_id) else call_id
        try:
            record = reader.last_record(call_id)
        except Refused as refused:
            if refused.reason is not Reason.CALL_UNKNOWN:
                raise
            message = f"the log has no call {quoted(call_id)}; `sandbox log list` shows those it has"
            raise Refused(Reason.CALL_UNKNOWN, message) from refused
        self._check_call(call_id)
        read = reader.read_call(self._principal, call_id)
        removed_by = max(read.removed.values(), default=None)
        names = names_in(self._deployment, self._log.store)
        about = call_about(self._log.store, record)
        return Shown(record, read.payloads, names, about, tuple(read.removed), removed_by)

    def _call_at(self, index: int) -> str:
        content = _sound_record(self._log.store, index)
        if content is None:
            size = self._log.store.head().size
            has = f"has 0 to {size - 1}" if size else "is empty"
            raise Refused(Reason.CALL_UNKNOWN, f"no leaf {index}; the log {has}")
        return record_pb2.Record.FromString(content).call_id

    def _check_call(self, call_id: str) -> None:
        """Raise `LogUnreadable` unless the call's records are those that were hashed, and of this call."""
        for index in self._log.store.indexes_of_call(call_key(call_id)):
            content = _sound_record(self._log.store, index)
            if content is None or record_pb2.Record.FromString(content).call_id != call_id:
                raise LogUnreadable(f"record {index} is not of the call that it is filed under; {_FINDS}")


@final
class Listing:
    """A log that is looked through: opened read-only, for an identity that may list records."""

    def __init__(self, deployment: Deployment, store: SqliteLog | None) -> None:
        """Look through `store`, None where nothing has been written yet; `opened` asks who looks."""
        self._deployment = deployment
        self._store = store

    @classmethod
    @contextmanager
    def opened(cls, root: Path, name: str) -> Iterator[Self]:
        """Open the log of a deployment for the identity `name`, beside a running service; writes nothing.

        Raises `Refused` like the RPC `ListRecords` would, `LogUnreadable` for what is damaged. Like it, it leaves no
        record: nothing is decrypted.
        """
        deployment = Deployment(root.resolve())
        settings, _ = read_settings(deployment.settings)
        _reviewer(deployment, settings, name, Action.LIST_RECORDS)
        if not deployment.log_database.exists():
            yield cls(deployment, None)
            return
        with _damage_told(), closing(SqliteLog(deployment.log_database, is_read_only=True)) as store:
            yield cls(deployment, store)

    def records(self, filters: Filters, *, before: int | None, limit: int) -> tuple[list[LoggedRecord], int | None]:
        """Return at most `limit` records below the index `before`, the newest first, and the next `before` if any."""
        found: list[LoggedRecord] = []
        if self._store is None:
            return found, None
        end = self._store.head().size
        end = end if before is None else min(before, end)
        while end > 0:
            begin = max(0, end - CHUNK)
            rows = self._store.records(begin, end - begin)
            for index, leaf, content in reversed(rows):
                _check_record(index, leaf, content)
                if not filters.let_pass(record_pb2.Record.FromString(content)):
                    continue
                if len(found) == limit:
                    return found, found[-1].index
                found.append(LoggedRecord(index, content))
            end = begin
        return found, None

    def open_intents(self) -> list[OpenIntent]:
        """Return the calls that had begun and whose end no record tells, in order."""
        found: list[OpenIntent] = []
        if self._store is None:
            return found
        for index, leaf, content in self._store.open_intents():
            _check_record(index, leaf, content)
            boot = record_pb2.Record.FromString(content).boot_id
            found.append(OpenIntent(LoggedRecord(index, content), is_running=not self._store.is_boot_gone(boot)))
        return found

    def pseudonym_of(self, who: str) -> str:
        """Return the hexadecimal digits that records carry for an identity; digits are taken as they are.

        Raises `Misconfigured` for a name that has none.
        """
        known = names_known(self._deployment)
        if who not in known and _PSEUDONYM.fullmatch(who):
            return who
        found = {} if self._store is None else pseudonyms(self._deployment, self._store, [who])
        if not found:
            if who in known:
                raise Misconfigured(f"--principal {quoted(who)}: that identity has no record in the log yet")
            hint = did_you_mean(who, known) or "; a name with a record, or 8 digits of a pseudonym, is accepted"
            raise Misconfigured(f"--principal {quoted(who)}: nobody of that name is in the log{hint}")
        return next(iter(found)).hex()

    def names(self, *further: str) -> Mapping[bytes, str]:
        """Return who the pseudonyms are, as far as this host knows; `further` are names that the reviewer knows."""
        return {} if self._store is None else names_in(self._deployment, self._store, *further)

    def call_about(self, record: record_pb2.Record) -> str:
        """Return the call that the record of a reading is about; empty of other records."""
        return "" if self._store is None else call_about(self._store, record)


KINDS: Final[Mapping[str, int]] = {
    name.removeprefix("RECORD_KIND_").lower(): number for name, number in record_pb2.RecordKind.items() if number
}
OUTCOMES: Final[Mapping[str, int]] = {
    name.removeprefix("RECORD_STATUS_").lower(): number for name, number in record_pb2.RecordStatus.items() if number
}


def names_in(deployment: Deployment, store: LogStore, *further: str) -> Mapping[bytes, str]:
    """Return names by pseudonym, of those with a token or certificate here and of `further`.

    Empty for whoever does not hold `keys/root.key`: nobody else can tell who a pseudonym is.
    """
    if not (deployment.keys / "root.key").exists():
        return {}
    return pseudonyms(deployment, store, [*names_known(deployment), SQL_CHECK, *further])


def pseudonyms(deployment: Deployment, store: LogStore, names: Iterable[str]) -> Mapping[bytes, str]:
    """Return those of `names` that the log knows, by the pseudonym that stands in records instead."""
    subjects = Subjects(store, RootKey.read(deployment))
    found: dict[bytes, str] = {}
    for name in names:
        if subjects.knows(name):
            with suppress(PayloadUnreadable):  # erased: nobody can tell any more
                found[subjects.key_of(name).pseudonym] = name
    return found


def call_about(store: LogStore, record: record_pb2.Record) -> str:
    """Return the id of the call that the record of a reading is about; empty of other records."""
    if record.kind != record_pb2.RECORD_KIND_ACCESS:
        return ""
    content = _sound_record(store, record.about_index_plus_one - 1)
    return "" if content is None else record_pb2.Record.FromString(content).call_id


def _sound_record(store: LogStore, index: int) -> bytes | None:
    rows = store.records(index, 1)
    if not rows or rows[0][0] != index:
        return None
    _check_record(*rows[0])
    return rows[0][2]


def _check_record(index: int, leaf: bytes, content: bytes) -> None:
    """Raise `LogUnreadable` if the record is not what its leaf was made of: nothing is told of forged records."""
    if leaf_hash(content) != leaf:
        raise LogUnreadable(f"record {index} is not the one that was hashed; {_FINDS}")


def _archived(place: Path) -> ArchivedLog:
    try:
        return ArchivedLog(place, lambda _: b"")  # what it holds is checked against the log's own records
    except StoreUnavailable as error:
        raise Misconfigured(f"{place}: there is no archive ({error})") from error


@contextmanager
def _damage_told() -> Iterator[None]:
    """Turn what a damaged log raises into `LogUnreadable`."""
    try:
        yield
    except PayloadUnreadable as error:
        raise LogUnreadable(str(error)) from error
    except DecodeError as error:
        raise LogUnreadable(f"a record is damaged; {_FINDS}") from error
    except (Refused, StoreUnavailable) as error:
        if isinstance(error, Refused) and not isinstance(error.__cause__, StoreUnavailable):
            raise
        raise LogUnreadable(f"the log is damaged or cannot be read ({error})") from error
    except InvalidTag as error:
        raise LogUnreadable("a key in the log does not open with keys/root.key") from error


def _reviewer(deployment: Deployment, settings: Settings, name: str, action: Action) -> Principal:
    """Return the identity `name`, proven as the service would, if policy permits it `action`."""
    check_name(name)
    certificate, token = certificate_path(deployment, name), token_path(deployment, name)
    missing = next((file for file in (certificate, token) if not file.is_file()), None)
    if missing is not None:
        hint = did_you_mean(name, [known for known in names_known(deployment) if known != name]) or (
            f"; `sandbox token new {name} --role reviewer` makes what is missing"
        )
        message = f"{missing}: there is no such file, so there is no identity {quoted(name)} on this host{hint}"
        raise Refused(Reason.CREDENTIAL_MISSING, message)
    credential = Credential(certificate.read_bytes(), read_token(deployment, name))
    principal = Authenticator(deployment, settings.identity).principal(credential)
    load_policies_about(deployment.policies, LOG_ACTIONS).permit_principal(principal, action)
    return principal
