"""Is an archive of the log refused whatever is changed in it, and is nothing removed that is not in a good one?"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import apsw
import pytest
from log_house import ORIGIN, House, call_of, deployment_at, open_house, principal_of, verifier_key

from sandbox import archiving
from sandbox.archiving import Archived, archive_log
from sandbox.audit.archived import audit_archive
from sandbox.audit.audit import LogInvalid, audit_log
from sandbox.audit.verify import verify_receipt
from sandbox.deployment import Misconfigured
from sandbox.receipts import LogReader
from sandbox.stores.archive import ArchivedLog
from sandbox.v1 import record_pb2

requirement = pytest.mark.requirement

CALLS = 300
"""Enough for a whole tile of 256, a partial one, and a tile above them."""


def nothing(_done: int, _whole: int) -> None:
    """Tell nobody."""


def archived(root: Path, place: Path, *, before: int | None = None, prune: bool = False) -> Archived:
    (root / "sandbox.toml").write_text(f'[log]\norigin = "{ORIGIN}"\n', "utf-8")
    return archive_log(root, place, before=before, prune=prune, progress=nothing)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment of many calls and, in `archive`, its archive."""
    root = tmp_path_factory.mktemp("archived")
    with open_house(root) as house:
        for number in range(CALLS):
            house.answer(call_of(principal=principal_of(f"p{number % 3}", f"t{number % 3}")))
    archived(root, root / "archive")
    return root


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "archive", tmp_path / "archive"))


@pytest.fixture
def key(made: Path) -> str:
    return verifier_key(deployment_at(made))


@requirement("log:archive:whole")
def test_an_archive_holds_every_record_and_payload_and_proves_by_itself(made: Path, archive: Path, key: str) -> None:
    live = audit_log(deployment_at(made).log_database, key)
    report = audit_archive(archive, key)

    assert (report.tree_size, report.payloads, report.tokens) == (live.tree_size, live.payloads, 3)
    assert (report.tree_size, report.removed_payloads, report.signed_size) == (CALLS + 5, 0, CALLS + 5)
    names = {str(path.relative_to(archive)) for path in archive.rglob("*") if path.is_file()}
    assert names == {
        "checkpoint",
        "log.vkey",
        "payloads/000",
        "payloads/001",
        "tile/0/000",
        "tile/0/001.p/49",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/49",
    }


FILES = ["checkpoint", "payloads/000", "payloads/001", "tile/0/000", "tile/0/001.p/49", "tile/1/000.p/1"]
FILES += ["tile/entries/000", "tile/entries/001.p/49"]


@requirement("log:archive:tampered")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", ["first", "middle", "last", "cut", "longer", "missing"])
def test_one_changed_byte_anywhere_is_refused(archive: Path, key: str, name: str, where: str) -> None:
    file = archive / name
    content = bytearray(file.read_bytes())
    at = {"first": 0, "middle": len(content) // 2}.get(where, len(content) - 1)
    content[at] ^= 1
    changed = {"cut": bytes(content[:-1]), "longer": file.read_bytes() + b"\0"}.get(where, bytes(content))
    if where == "missing":
        file.unlink()
    else:
        file.write_bytes(changed)

    with pytest.raises(LogInvalid):
        audit_archive(archive, key)


@requirement("log:archive:tampered")
def test_payloads_that_were_swapped_are_refused(archive: Path, key: str) -> None:
    found = list(ArchivedLog(archive, lambda _: b"").payloads(0, 2**40))
    first, second = next(
        (one, other) for (_, one), (_, other) in pairwise(found) if len(one.ciphertext) == len(other.ciphertext)
    )
    file = archive / "payloads" / "000"
    swapped = file.read_bytes().replace(first.ciphertext, b"?" * len(first.ciphertext))
    swapped = swapped.replace(second.ciphertext, first.ciphertext).replace(
        b"?" * len(first.ciphertext), second.ciphertext
    )
    file.write_bytes(swapped)

    with pytest.raises(LogInvalid, match=r"leaf \d+: the payload `\w+` is not the one that the record commits to"):
        audit_archive(archive, key)


@requirement("log:archive:tampered")
def test_another_logs_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    other = verifier_key(deployment_at(tmp_path / "other"))
    with pytest.raises(LogInvalid, match="has no signature of the key"):
        audit_archive(archive, other)
    with pytest.raises(LogInvalid, match="checkpoint: No such file"):
        audit_archive(tmp_path, other)


@requirement("log:archive:whole")
def test_an_archive_up_to_a_leaf_is_of_the_largest_signed_tree_below(made: Path, tmp_path: Path, key: str) -> None:
    assert archived(made, tmp_path / "some", before=100).records == 100
    assert audit_archive(tmp_path / "some", key).tree_size == 100
    with pytest.raises(Misconfigured, match="--before 0: no signed checkpoint is of so few records"):
        archived(made, tmp_path / "none", before=0)


@requirement("log:archive:refused")
def test_a_folder_that_holds_something_and_a_log_that_was_changed_make_no_archive(made: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(Misconfigured, match="a new or an empty folder is accepted"):
        archived(made, tmp_path / "full")

    root = Path(shutil.copytree(made, tmp_path / "changed"))
    with apsw.Connection(str(deployment_at(root).log_database)) as log:
        log.execute("UPDATE payloads SET ciphertext = x'00' WHERE id = 40")
    log.close()
    with pytest.raises(Misconfigured, match="no archive is made of this log: leaf 5: the payload `arguments` is not"):
        archived(root, tmp_path / "bad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed", "full"]


@requirement("log:archive:refused")
def test_without_a_log_there_is_nothing_to_archive(tmp_path: Path) -> None:
    (tmp_path / "deployment").mkdir()
    with pytest.raises(Misconfigured, match="there is no log yet"):
        archived(tmp_path / "deployment", tmp_path / "archive")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A closed log of three calls, the last of which is remembered under its `request_id`."""
    with open_house(tmp_path / "deployment") as opened:
        opened.answer(call_of(), rows=b"[[7]]")
        opened.answer(call_of())
        opened.answer(call_of(request_id="r1"))
    return opened


def retention(house: House) -> list[record_pb2.Record]:
    with open_house(house.deployment.root) as opened:
        found = [record_pb2.Record.FromString(content) for _, _, content in opened.log.store.records(0, 1000)]
    return [record for record in found if record.kind == record_pb2.RECORD_KIND_RETENTION]


@requirement("log:archive:pruned")
def test_what_was_archived_is_removed_from_the_log_with_a_record_that_names_the_archive(
    house: House, tmp_path: Path
) -> None:
    root = house.deployment.root
    made = archived(root, tmp_path / "archive", prune=True)

    assert (made.records, made.pruned) == (8, 8)
    (record,) = retention(house)
    tree = ArchivedLog(tmp_path / "archive", lambda _: b"").head()
    assert (record.archived_size, record.archived_root, record.payload_days) == (8, tree.root, 0)
    assert record.payloads_below == 7  # the third call is remembered, and what it was answered stays
    assert audit_archive(tmp_path / "archive", house.vkey).removed_payloads == 0
    assert audit_log(house.deployment.log_database, house.vkey).removed_payloads == 8
    with open_house(root) as again:
        again.answer(call_of(request_id="r1"))
        again.answer(call_of())
    further = archived(root, tmp_path / "further", prune=True)
    assert (further.records, further.pruned) == (10, 0)
    assert audit_archive(tmp_path / "further", house.vkey).removed_payloads == 8


@requirement("log:archive:read")
def test_what_was_pruned_is_read_from_the_archive_with_the_deployments_keys(house: House, tmp_path: Path) -> None:
    archived(house.deployment.root, tmp_path / "archive", prune=True)
    with open_house(house.deployment.root) as again:
        call = record_pb2.Record.FromString(again.log.store.record(5) or b"")
        reader = LogReader(again.log, archive=ArchivedLog(tmp_path / "archive", lambda _: b""))
        content, receipt = reader.read_payload(principal_of("eve", "t9"), call.call_id, "result")

    assert b'"rows":[[7]]' in content
    assert verify_receipt(receipt, house.vkey).record.kind == record_pb2.RECORD_KIND_ACCESS


def not_compared(*_: object) -> None:
    raise Misconfigured("the archive does not hold the payloads of the log")


def not_sound(*_: object) -> None:
    raise LogInvalid("leaf 1")


@requirement("log:archive:pruned")
@pytest.mark.parametrize(("step", "how"), [("_compare", not_compared), ("audit_archive", not_sound)])
def test_nothing_is_removed_before_the_archive_has_been_read_back(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, how: Callable[..., None]
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(archiving, step, how)
        with pytest.raises(Misconfigured):
            archived(house.deployment.root, tmp_path / "archive", prune=True)
    assert retention(house) == []
    assert not (tmp_path / "archive").exists()


def path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


@requirement("log:archive:pruned")
def test_every_file_and_folder_of_the_archive_is_on_disk_before_anything_is_removed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    real, remove = os.fsync, archiving.Retention.prune

    def fsync(descriptor: int) -> None:
        synced.append(path_of(descriptor))
        real(descriptor)

    def prune(*asked: object) -> int:
        monkeypatch.setattr(os, "fsync", real)
        return remove(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(archiving.Retention, "prune", prune)
    place = archived(house.deployment.root, tmp_path / "archive", prune=True).place

    building = next(path for path in synced if path.name.startswith(".archive.making-"))
    assert {building / path.relative_to(place) for path in (place, *place.rglob("*"))} <= set(synced)
    assert synced[-1] == tmp_path


@requirement("log:archive:pruned")
@pytest.mark.parametrize("what", ["checkpoint", "log.vkey", "payloads", "the folder above"])
def test_nothing_is_removed_where_the_disk_does_not_take_the_archive(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    real, name = os.fsync, tmp_path.name if what == "the folder above" else what

    def failing(descriptor: int) -> None:
        if path_of(descriptor).name == name:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(Misconfigured, match=r"the log cannot be archived .*Input/output error"):
        archived(house.deployment.root, tmp_path / "archive", prune=True)
    monkeypatch.undo()
    assert retention(house) == []


@requirement("log:archive:pruned")
def test_an_archive_whose_keys_differ_from_the_logs_is_found_before_anything_is_removed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrapped key is in no record, so an audit cannot miss it; only the comparison can."""
    write = archiving.write_archive

    def damaged(*asked: object) -> None:
        write(*asked)  # type: ignore[arg-type]
        file = Path(str(asked[1])) / "payloads" / "000"
        content = bytearray(file.read_bytes())
        content[22] ^= 1
        file.write_bytes(content)

    monkeypatch.setattr(archiving, "write_archive", damaged)
    with pytest.raises(Misconfigured, match="the archive does not hold the payloads of the log; nothing was removed"):
        archived(house.deployment.root, tmp_path / "archive", prune=True)
    assert retention(house) == []


@requirement("log:archive:refused")
def test_while_payloads_are_removed_no_archive_is_made(house: House, tmp_path: Path) -> None:
    with (
        open_house(house.deployment.root) as again,
        again.log.store.removing(),
        pytest.raises(Misconfigured, match="a service is removing payloads now; try again in a moment"),
    ):
        archived(house.deployment.root, tmp_path / "archive")


KILLED = """
import os, signal, sys
from pathlib import Path
from sandbox import archiving

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(*((archiving, "_compare", killed) if sys.argv[3] == "_compare" else (archiving.Retention, "_remove", killed)))
archiving.archive_log(Path(sys.argv[1]), Path(sys.argv[2]), before=None, prune=True, progress=lambda *_: None)
"""


@requirement("log:archive:crash")
@pytest.mark.parametrize(("step", "records"), [("_compare", 0), ("_remove", 1)])
def test_a_kill_in_the_midst_leaves_a_good_log_and_no_half_archive(
    house: House, tmp_path: Path, step: str, records: int
) -> None:
    root, place = house.deployment.root, tmp_path / "archive"
    (root / "sandbox.toml").write_text(f'[log]\norigin = "{ORIGIN}"\n', "utf-8")
    killed = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", KILLED, str(root), str(place), step], check=False, timeout=60
    )

    assert killed.returncode == -signal.SIGKILL
    assert audit_log(house.deployment.log_database, house.vkey).removed_payloads == 0
    assert len(retention(house)) == records
    assert place.exists() == bool(records)
    further = archived(root, tmp_path / "further", prune=True)
    assert further.pruned == 8
    assert audit_log(house.deployment.log_database, house.vkey).removed_payloads == 8


@requirement("log:archive:forged")
def test_an_archive_with_payloads_put_in_beside_the_true_ones_is_refused(archive: Path, key: str) -> None:
    """The attack: an audit that keeps the last payload of an id, and a reader that takes the first."""
    bundle = archive / "payloads" / "000"
    content = bundle.read_bytes()
    first = next(iter(ArchivedLog(archive, lambda _: b"").payloads(0, 1 << 40)))
    forged = struct.pack(">QQHI", first[0], first[1].subject, 0, 5) + b"EVIL!"
    bundle.write_bytes(forged + content)
    with pytest.raises(LogInvalid, match="holds a payload twice"):
        audit_archive(archive, key)


@requirement("log:archive:forged")
@pytest.mark.parametrize("name", ["payloads/999", "tile/0/002.p/1", "notes.txt", "tile/5/000"])
def test_an_archive_with_a_file_that_its_tree_does_not_have_is_refused(archive: Path, key: str, name: str) -> None:
    (archive / name).parent.mkdir(parents=True, exist_ok=True)
    (archive / name).write_bytes(b"more")
    with pytest.raises(LogInvalid, match=name):
        audit_archive(archive, key)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 60 << 30)


@requirement("log:archive:hostile-files")
@pytest.mark.parametrize("put", [_fifo, _endless, _huge])
@pytest.mark.parametrize("name", ["checkpoint", "payloads/000", "tile/0/000", "tile/entries/000"])
def test_a_file_that_has_no_end_is_refused_and_not_waited_for(
    archive: Path, key: str, name: str, put: Callable[[Path], None]
) -> None:
    (archive / name).unlink()
    put(archive / name)
    with pytest.raises(LogInvalid, match=r"no plain file|symbolic links"):
        audit_archive(archive, key)


@requirement("log:archive:hostile-files")
@pytest.mark.parametrize("name", ["tile", "tile/0", "tile/entries", "payloads"])
def test_a_folder_that_is_a_link_is_refused(archive: Path, key: str, name: str, tmp_path: Path) -> None:
    """The attack: an archive whose folders lead to files of whoever audits it."""
    elsewhere = (archive / name).rename(tmp_path / "elsewhere")
    (archive / name).symlink_to(elsewhere)
    with pytest.raises(LogInvalid, match=f"{name}: an archive of this tree has no such file"):
        audit_archive(archive, key)
