"""`sandbox log …`: verify a receipt offline, show a call to a reviewer, audit the whole log."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sandbox.cli.common import (
    DeploymentOption,
    ExitCode,
    JsonOption,
    emit,
    fact_line,
    fail,
    stop,
    warn,
    wrapped,
)
from sandbox.cli.log_archive import archive_log
from sandbox.cli.log_list import list_records
from sandbox.cli.log_open import list_open
from sandbox.cli.progress import told_progress
from sandbox.cli.records import readable, record_facts
from sandbox.deployment import Misconfigured
from sandbox.problems import counted
from sandbox.values import JsonObject

if TYPE_CHECKING:
    from sandbox.audit.audit import AuditReport
    from sandbox.audit.verify import VerifiedReceipt
    from sandbox.deployment import Deployment

app = typer.Typer(help="Verify receipts, read and audit the signed log.", no_args_is_help=True)

KeyOption = Annotated[
    list[Path],
    typer.Option("--key", help="The log's public key, `keys/log.vkey`; again for `keys/log-mldsa44.vkey`."),
]

_NOTHING_LEFT = "nothing was left to be read, and no reading is recorded"
_NO_PAYLOAD = "the record has no payload; nothing was read, or recorded"


@app.command("verify")
def verify(
    proof: Annotated[Path, typer.Argument(help="A receipt, or any C2SP tlog-proof.")],
    key: KeyOption,
    leaf: Annotated[Path | None, typer.Option(help="The proven entry, for proofs that do not carry it.")] = None,
    witness: Annotated[list[str] | None, typer.Option(help="A witness's verifier key (line or file).")] = None,
    quorum: Annotated[int | None, typer.Option(help="How many of them must have cosigned; all by default.")] = None,
    json: JsonOption = False,
) -> None:
    """Check a receipt offline, with the public keys alone. Exit code 1: not valid; 3: too few witnesses."""
    from sandbox.audit.verify import ProofInvalid, QuorumShort, verify_receipt

    content, vkeys = _read(proof), _log_keys(key)
    entry = _read(leaf) if leaf is not None else None
    witnesses = [_witness_line(each) for each in witness or []]
    if quorum is not None and not 0 <= quorum <= len(witnesses):
        raise Misconfigured(f"--quorum {quorum}: {len(witnesses)} witnesses are named; from 0 to so many are accepted")
    try:
        verified = verify_receipt(content, *vkeys, leaf=entry, witnesses=witnesses, quorum=quorum)
    except QuorumShort as short:
        _fail(short, ExitCode.INCOMPLETE, is_json=json)
    except ProofInvalid as invalid:
        _fail(invalid, ExitCode.REFUSED, is_json=json)
    if json:
        emit(_verified_json(verified))
    else:
        _print_verified(verified)


@app.command("show")
def show(
    call_id: Annotated[str, typer.Argument(help="The call's id, or its leaf's index in `log list`.")],
    name: Annotated[str, typer.Option("--as", help="The identity that reads; policy must permit it.")] = "reviewer",
    archive: Annotated[Path | None, typer.Option(help="An archive with the payloads that the log has no more.")] = None,
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Decrypt one call for a reviewer. That it was read, and by whom, is recorded first."""
    from sandbox.reviewing import LogUnreadable, Review

    try:
        with Review.opened(deployment, name, archive) as review:
            found = review.call(call_id)
    except LogUnreadable as unreadable:
        fail(ExitCode.REFUSED, str(unreadable), is_json=json)
    shown = {role: readable(role, payload) for role, payload in found.payloads.items()}
    facts = record_facts(found.record, found.names, found.about_call)
    if json:
        emit({"record": facts, "payloads": shown, "removed": found.removed, "removed_by": found.removed_by})
        return
    lines = [fact_line(field, value) for field, value in facts.items()]
    lines += [f"{role}:\n{text}" if "\n" in text else fact_line(role, text) for role, text in shown.items()]
    lines += [
        fact_line(role, f"removed, as leaf {found.removed_by} says; an archive may hold it (--archive)")
        for role in found.removed
    ]
    lines += ["this reading is on record"] if shown else [_NOTHING_LEFT if found.removed else _NO_PAYLOAD]
    sys.stdout.write("\n".join(lines) + "\n")


app.command("list")(list_records)
app.command("open")(list_open)
app.command("archive")(archive_log)


@app.command("audit")
def audit(
    key: KeyOption,
    remember: Annotated[
        Path | None, typer.Option(help="A checkpoint kept from an earlier audit; rewritten when this one succeeds.")
    ] = None,
    archive: Annotated[Path | None, typer.Option(help="Check this archive instead, offline.")] = None,
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Check the whole log: every leaf, root, checkpoint, chain and payload. Says what it did not check."""
    from sandbox.audit.archived import audit_archive
    from sandbox.audit.audit import LogInvalid, RememberedUnusable, audit_log
    from sandbox.deployment import Deployment

    keys = _log_keys(key, is_audit=True)
    if archive is not None and remember is not None:
        message = "a copy of an archive's `checkpoint`, given to --remember alone, shows whether the log grew from it"
        raise Misconfigured(f"--archive and --remember: one of them is accepted; {message}")
    kept = _read(remember) if remember is not None and remember.exists() else None
    try:
        if archive is None:
            database, published = _live(Deployment(deployment))
            report = audit_log(database, *keys, remembered=kept, published=published, progress=told_progress())
        else:
            report = audit_archive(archive, *keys, progress=told_progress())
    except RememberedUnusable as unusable:
        raise Misconfigured(f"--remember {remember}: {unusable}") from unusable
    except LogInvalid as invalid:
        _fail(invalid, ExitCode.REFUSED, is_json=json)
    if report.signed_size < report.remembered_size:
        _fail(_behind(report), ExitCode.INCOMPLETE, is_json=json)
    if report.unsigned_records:
        _fail(_unsigned(report), ExitCode.INCOMPLETE, is_json=json)
    if remember is not None and report.newest_checkpoint:
        _remember(remember, report.newest_checkpoint)
    if json:
        emit(_report_json(report))
    else:
        _print_report(report, remember)


def _live(deployment: Deployment) -> tuple[Path, bytes | None]:
    """Return a deployment's log and the checkpoint that its service has left."""
    database = deployment.log_database
    if not database.exists():
        raise Misconfigured(f"{database}: there is no log; is {deployment.root} a deployment?")
    _warn_of_readers(database)
    # WHY: read before the log is: a serving process leaves larger ones, and a log of fewer records would look cut.
    return database, _read(deployment.checkpoint) if deployment.checkpoint.exists() else None


def _unsigned(report: AuditReport) -> str:
    """Return what is said of records that nobody has signed: a crash leaves them, and whoever writes the file can."""
    begun = report.tree_size - report.unsigned_records
    return (
        f"leaf {begun}: no signature covers the last {counted(report.unsigned_records, 'record')} of "
        f"{report.tree_size}; a crash leaves such, and the next start signs those that the service wrote: audit then"
    )


def _behind(report: AuditReport) -> str:
    """Return what is said of a log whose newest signatures are gone: a crash takes none, and whoever cuts must."""
    return (
        f"the log begins with the remembered {counted(report.remembered_size, 'record')}, and its newest signed "
        f"checkpoint is of {report.signed_size}: signatures are missing; the remembered checkpoint is left as it was"
    )


def _remember(path: Path, content: bytes) -> None:
    """Put the checkpoint in the file's place, whole or not at all, with the mode that it has."""
    from sandbox.deployment import replace_file

    path = path.resolve()
    replace_file(path, content, stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644)


def _warn_of_readers(database: Path) -> None:
    """Tell of modes that let others at the log; the service itself would refuse the file."""
    for path in (database.parent, database):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            message = (
                f"{path}: mode {mode:04o} lets others at the log; contents are encrypted, who called what when is not"
            )
            warn(f"{message}; `chmod go= {path}` closes it")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read ({error.strerror})") from error


def _read_key(path: Path) -> str:
    beside = path.with_suffix(".vkey")
    hint = f"; did you mean {beside}?" if path.suffix == ".key" and beside.is_file() else ""
    try:
        return _sound_key(_read(path).decode("utf-8").strip(), str(path), hint)
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{path}: not a verifier key; one line `name+hash+base64` is accepted{hint}") from error


def _log_keys(paths: list[Path], *, is_audit: bool = False) -> tuple[str, ...]:
    """Return the keys' lines if they are one log's and fit what is asked."""
    from sandbox.audit.notes import NoteInvalid, parse_audit_keys, parse_log_keys

    lines = tuple(_read_key(path) for path in paths)
    try:
        (parse_audit_keys if is_audit else parse_log_keys)(lines)
    except NoteInvalid as error:
        raise Misconfigured(f"--key: {error}") from error
    return lines


def _witness_line(text: str) -> str:
    from sandbox.audit.notes import COSIGNATURE, parse_verifier_key

    line = _sound_key(text, "--witness") if "+" in text and not Path(text).is_file() else _read_key(Path(text))
    if parse_verifier_key(line).kind != COSIGNATURE:
        raise Misconfigured(f"--witness {text}: a log's key; those of witnesses, of type 4, are accepted")
    return line


def _sound_key(line: str, place: str, hint: str = "") -> str:
    """Return the line if it is a verifier key: without one nothing can be decided."""
    from sandbox.audit.notes import NoteInvalid, parse_verifier_key

    try:
        parse_verifier_key(line)
    except NoteInvalid as error:
        raise Misconfigured(f"{place}: {error}{hint}") from error
    return line


def _fail(why: Exception | str, code: ExitCode, *, is_json: bool) -> NoReturn:
    message = str(why)
    if is_json:
        told: JsonObject = {"message": message, "reason": ""}
        emit({"verified": False, "message": message, "error": told, "exit_code": int(code)})
        raise typer.Exit(code)
    stop(code, f"{'incomplete' if code is ExitCode.INCOMPLETE else 'not valid'}: {message}")


def _verified_json(verified: VerifiedReceipt) -> JsonObject:
    return {
        "verified": True,
        "origin": verified.origin,
        "index": verified.index,
        "tree_size": verified.tree_size,
        "signed_with": verified.signed_with,
        "witnesses": verified.witnesses,
        "record": record_facts(verified.record),
        "not_checked": verified.not_checked,
    }


def _print_verified(verified: VerifiedReceipt) -> None:
    lines = [f"verified: leaf {verified.index} of {verified.tree_size} in {verified.origin}"]
    lines += [fact_line(f"  {field}", value, 15) for field, value in record_facts(verified.record).items()]
    lines += [fact_line("  signed with", ", ".join(verified.signed_with), 15)]
    lines += [fact_line("  cosigned by", witness, 15) for witness in verified.witnesses]
    lines += ["not checked:"] + [wrapped(f"  {item}", 4) for item in verified.not_checked]
    sys.stdout.write("\n".join(lines) + "\n")


def _report_json(report: AuditReport) -> JsonObject:
    return {
        "verified": True,
        "tree_size": report.tree_size,
        "checkpoints": report.checkpoints,
        "unsigned_checkpoints": report.unsigned_checkpoints,
        "payloads": report.payloads,
        "removed_payloads": report.removed_payloads,
        "tokens": report.tokens,
        "open_intents": report.open_intents,
        "remembered_size": report.remembered_size,
        "checked": report.checked,
        "not_checked": report.not_checked,
    }


def _size_of(checkpoint: bytes) -> int:
    from sandbox.audit.notes import parse_checkpoint, parse_note

    return parse_checkpoint(parse_note(checkpoint).text).size


def _print_report(report: AuditReport, remember: Path | None) -> None:
    what = f"{counted(report.tree_size, 'record')}, {counted(report.checkpoints, 'checkpoint')}"
    what += f", {counted(report.payloads, 'payload')}, {counted(report.tokens, 'token chain')} without a gap"
    lines = [f"verified: {what}"]
    if report.unsigned_checkpoints:
        unsigned = counted(report.unsigned_checkpoints, "checkpoint")
        lines.append(f"signature not written to the file yet: {unsigned} (a running service does so within a second)")
    if report.open_intents:
        begun = counted(report.open_intents, "call")
        lines.append(f"begun, and no end on record: {begun} (`sandbox log open` names them)")
    if report.remembered_size:
        lines.append(f"the log begins with the remembered {counted(report.remembered_size, 'record')}")
    if remember is not None and report.newest_checkpoint:
        kept = f"wrote {remember} ({counted(_size_of(report.newest_checkpoint), 'record')})"
        lines.append(f"{kept}: the next audit will compare with it")
    lines = [wrapped(line) for line in lines]
    lines += (["also checked:"] if report.checked else []) + [wrapped(f"  {item}", 4) for item in report.checked]
    lines += ["not checked:"] + [wrapped(f"  {item}", 4) for item in report.not_checked]
    sys.stdout.write("\n".join(lines) + "\n")
