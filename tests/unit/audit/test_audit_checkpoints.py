"""What does an audit say of checkpoints that lie beside the log, and of the keys that signed them?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from log_house import ORIGIN, call_of, open_house
from test_audit_whole_log import change, resign
from typer.testing import CliRunner, Result

from sandbox.audit.audit import AuditReport, LogInvalid, audit_log
from sandbox.audit.notes import NoteInvalid, parse_audit_keys, parse_checkpoint, parse_note
from sandbox.cli.log import app
from sandbox.deployment import Deployment, Misconfigured
from sandbox.receipts import LogReader
from sandbox.receipts.keys import read_signer

requirement = pytest.mark.requirement


@dataclass(frozen=True)
class Written:
    """A closed deployment: its checkpoint file is of `covered` of the log's `size` records."""

    deployment: Deployment
    keys: tuple[str, str]
    receipt: bytes
    covered: int
    size: int

    def audit(self, *, published: bytes | None = None, remembered: bytes | None = None) -> AuditReport:
        return audit_log(self.deployment.log_database, *self.keys, published=published, remembered=remembered)

    @property
    def published(self) -> bytes:
        return self.deployment.checkpoint.read_bytes()

    def run(self, command: str, *arguments: str, keys: tuple[str, ...] = ("log", "log-mldsa44")) -> Result:
        given = [part for key in keys for part in ("--key", str(self.deployment.keys / f"{key}.vkey"))]
        return CliRunner().invoke(app, [command, *arguments, *given])


@pytest.fixture
def written(tmp_path: Path) -> Written:
    with open_house(tmp_path) as house:
        LogReader(house.log, house.deployment.checkpoint).publish()
        covered = house.log.store.head().size
        receipt = house.answer(call_of()).receipt
        house.refuse(call_of())
        size = house.log.store.head().size
    keys = house.deployment.keys
    pair = (keys / "log.vkey").read_text("utf-8"), (keys / "log-mldsa44.vkey").read_text("utf-8")
    return Written(house.deployment, pair, receipt, covered, size)


def mentions(items: tuple[str, ...]) -> list[str]:
    return [item for item in items if "ML-DSA-44" in item]


@requirement("log:audit:published")
def test_the_audit_tells_how_far_the_second_signature_reaches(written: Written) -> None:
    report = written.audit(published=written.published)

    assert (report.tree_size, written.size - written.covered) == (written.size, 2)
    assert [f"published checkpoint of {written.covered} records" in item for item in report.checked] == [True, True]
    assert len(mentions(report.checked)) == 1
    assert [item.endswith("over the last 2 records") for item in mentions(report.not_checked)] == [True]


@requirement("log:audit:published")
def test_a_signature_that_is_nowhere_is_told_as_not_checked(written: Written) -> None:
    signer = read_signer(written.deployment, ORIGIN)
    report = written.audit()
    checkpoint = report.newest_checkpoint
    plain = written.audit(remembered=checkpoint)

    for each in (report, plain):
        assert mentions(each.checked) == []
        assert "neither a published nor a remembered checkpoint carries one" in mentions(each.not_checked)[0]
    assert mentions(audit_log(written.deployment.log_database, written.keys[0]).not_checked) == []
    root = parse_checkpoint(parse_note(checkpoint).text).root
    assert signer.ml_dsa is not None
    whole = written.audit(remembered=checkpoint + signer.ml_dsa.line(written.size, root))
    assert (len(mentions(whole.checked)), mentions(whole.not_checked)) == (1, [])


@requirement("log:audit:published")
@requirement("log:mldsa:forged")
def test_a_false_checkpoint_beside_the_log_makes_it_invalid(written: Written) -> None:
    signer = read_signer(written.deployment, ORIGIN)
    assert signer.ml_dsa is not None
    head = written.published
    text_and_first_line = head[: head.rindex("— ".encode())]
    other_root = bytes(32)

    def note(size: int, root: bytes) -> bytes:
        assert signer.ml_dsa is not None
        return signer.note(size, root, signer.sign(size, root)) + signer.ml_dsa.line(size, root)

    for content, told in {
        b"": "published checkpoint: a note is text",
        head[:-20] + b"\n": "published checkpoint: ",
        text_and_first_line + signer.ml_dsa.line(written.covered + 1, other_root): "is false",
        head.replace(b"sandbox.example/test-log\n", b"sandbox.example/other-log\n", 1): "is false",
        note(written.covered, other_root): "are not those of the published checkpoint",
        note(written.size + 1, other_root): f"leaf {written.size} is missing; the published checkpoint",
    }.items():
        with pytest.raises(LogInvalid, match=told):
            written.audit(published=content)


@requirement("log:audit:published")
def test_a_log_cut_below_its_published_checkpoint_and_signed_again_is_seen(written: Written) -> None:
    kept, database = written.covered - 1, written.deployment.log_database
    change(database, f"DELETE FROM leaves WHERE idx >= {kept}")  # noqa: S608 - a number
    change(database, f"DELETE FROM payloads WHERE id >= {kept * 8}")  # noqa: S608 - a number
    resign(database, read_signer(written.deployment, ORIGIN))

    assert written.audit().tree_size == kept
    with pytest.raises(LogInvalid, match=f"leaf {kept} is missing; the published checkpoint"):
        written.audit(published=written.published)


@requirement("log:verify:several-keys")
def test_an_audit_needs_exactly_one_ed25519_key(written: Written) -> None:
    first, second = written.keys
    for lines in ((second,), (first, first), ()):
        with pytest.raises(NoteInvalid):
            parse_audit_keys(lines)
    assert [key.kind for key in parse_audit_keys((second, first))] == [1, 6]
    with pytest.raises(LogInvalid, match="exactly one"):
        audit_log(written.deployment.log_database, second)
    assert isinstance(
        written.run("audit", "--deployment", str(written.deployment.root), keys=("log-mldsa44",)).exception,
        Misconfigured,
    )


@requirement("log:verify:several-keys")
@requirement("log:audit:published")
def test_the_commands_take_both_keys_and_tell_of_each(written: Written, tmp_path: Path) -> None:
    proof = tmp_path / "receipt.tlog-proof"
    proof.write_bytes(written.receipt)
    told, asked = written.run("verify", str(proof)), written.run("verify", str(proof), "--json")
    where = ("--deployment", str(written.deployment.root))
    audited, audit_facts = written.run("audit", *where), written.run("audit", *where, "--json")

    assert [each.exit_code for each in (told, asked, audited, audit_facts)] == [0, 0, 0, 0], told.output
    assert json.loads(asked.stdout)["signed_with"] == ["Ed25519"]
    assert "ML-DSA-44" in json.loads(asked.stdout)["not_checked"][0]
    assert told.stdout.index("not checked:") < told.stdout.index("(ML-DSA-44)")
    assert audited.stdout.index("also checked:") < audited.stdout.index("(ML-DSA-44)")
    assert len(mentions(tuple(json.loads(audit_facts.stdout)["checked"]))) == 1
    assert written.run("verify", str(proof), keys=("log-mldsa44",)).exit_code == 1


@requirement("log:audit:published")
def test_the_command_reads_the_file_that_the_service_left(written: Written) -> None:
    where = ("--deployment", str(written.deployment.root))
    written.deployment.checkpoint.write_bytes(b"rubbish")
    assert written.run("audit", *where).exit_code == 1
    written.deployment.checkpoint.unlink()
    assert written.run("audit", *where).exit_code == 0


def remember(written: Written, kept: Path, *more: str, keys: tuple[str, ...] = ("log", "log-mldsa44")) -> Result:
    where = ("--deployment", str(written.deployment.root), "--remember", str(kept))
    return written.run("audit", *where, *more, keys=keys)


def size_of(checkpoint: Path) -> int:
    return parse_checkpoint(parse_note(checkpoint.read_bytes()).text).size


@requirement("log:audit:never-backwards")
def test_signatures_taken_away_do_not_walk_the_remembered_checkpoint_backwards(
    written: Written, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    assert remember(written, kept).exit_code == 0
    before = kept.read_bytes()
    assert size_of(kept) == written.size
    written.deployment.checkpoint.unlink()
    change(
        written.deployment.log_database,
        f"UPDATE checkpoints SET signature = NULL WHERE size > {written.size - 1}",  # noqa: S608 - a number
    )

    told, asked = remember(written, kept), remember(written, kept, "--json")

    assert (told.exit_code, asked.exit_code) == (3, 3)
    assert f"newest signed checkpoint is of {written.size - 1}: signatures are missing" in told.stderr
    assert json.loads(asked.stdout)["verified"] is False
    assert kept.read_bytes() == before
    assert written.audit().signed_size == written.size - 1


@requirement("log:audit:never-backwards")
@pytest.mark.parametrize("keys", [("log", "log-mldsa44"), ("log",)])
def test_a_remembered_signature_is_not_lost(written: Written, tmp_path: Path, keys: tuple[str, ...]) -> None:
    with open_house(written.deployment.root) as house:
        LogReader(house.log, house.deployment.checkpoint).publish()
    kept = tmp_path / "kept"
    kept.write_bytes(written.published)
    kept.chmod(0o640)
    assert len(parse_note(kept.read_bytes()).lines) == 2

    assert remember(written, kept, keys=keys).exit_code == 0

    assert kept.read_bytes() == written.published
    assert kept.stat().st_mode & 0o777 == 0o640
    written.deployment.checkpoint.unlink()
    assert remember(written, kept, keys=keys).exit_code == 0
    assert len(parse_note(kept.read_bytes()).lines) == 2


@requirement("log:audit:never-backwards")
def test_what_the_service_left_is_remembered_with_both_signatures(written: Written, tmp_path: Path) -> None:
    with open_house(written.deployment.root) as house:
        LogReader(house.log, house.deployment.checkpoint).publish()
    kept = tmp_path / "kept"

    assert remember(written, kept).exit_code == 0
    assert sorted(line.key_id for line in parse_note(kept.read_bytes()).lines) == sorted(
        line.key_id for line in parse_note(written.published).lines
    )
    assert remember(written, other := tmp_path / "other", keys=("log",)).exit_code == 0
    assert len(parse_note(other.read_bytes()).lines) == 1, "a line that nobody checked is not vouched for"


@requirement("log:audit:remembered")
@pytest.mark.parametrize("content", [b"", b"text", b"x\n1\nAAAA\n\n\xe2\x80\x94 x AAAAAAAA\n"])
def test_a_wrong_file_to_remember_is_a_wrong_use(written: Written, tmp_path: Path, content: bytes) -> None:
    (kept := tmp_path / "kept").write_bytes(content)

    told = remember(written, kept)

    assert isinstance(told.exception, Misconfigured)
    assert kept.read_bytes() == content


@requirement("log:audit:remembered")
def test_a_remembered_checkpoint_with_a_false_signature_is_told_as_false(written: Written, tmp_path: Path) -> None:
    (kept := tmp_path / "kept").write_bytes(written.published.replace(f"\n{written.covered}\n".encode(), b"\n1\n", 1))

    assert remember(written, kept).exit_code == 1
