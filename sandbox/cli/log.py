"""`sandbox log …`: verify a receipt offline, show a call to a reviewer, audit the whole log."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sandbox.cli.common import DeploymentOption, ExitCode, JsonOption, emit, stop
from sandbox.deployment import Misconfigured
from sandbox.values import JsonObject

if TYPE_CHECKING:
    from sandbox.audit.audit import AuditReport
    from sandbox.audit.verify import VerifiedReceipt
    from sandbox.v1 import record_pb2

app = typer.Typer(help="Verify receipts, read and audit the signed log.", no_args_is_help=True)

KeyOption = Annotated[Path, typer.Option("--key", help="The log's public key, `keys/log.vkey`.")]

PROGRESS_AFTER_S = 2.0


@app.command("verify")
def verify(
    proof: Annotated[Path, typer.Argument(help="A receipt, or any C2SP tlog-proof.")],
    key: KeyOption,
    leaf: Annotated[Path | None, typer.Option(help="The proven entry, for proofs that do not carry it.")] = None,
    witness: Annotated[list[str] | None, typer.Option(help="A witness's verifier key (line or file).")] = None,
    quorum: Annotated[int | None, typer.Option(help="How many of them must have cosigned; all by default.")] = None,
    json: JsonOption = False,
) -> None:
    """Check a receipt offline, with the public key alone. Exit code 1: not valid; 3: too few witnesses."""
    from sandbox.audit.verify import ProofInvalid, QuorumShort, verify_receipt

    content, vkey = _read(proof), _read_key(key)
    entry = _read(leaf) if leaf is not None else None
    witnesses = [_key_line(each) for each in witness or []]
    if quorum is not None and not 0 <= quorum <= len(witnesses):
        raise Misconfigured(f"--quorum {quorum}: {len(witnesses)} witnesses are named; from 0 to so many are accepted")
    try:
        verified = verify_receipt(content, vkey, leaf=entry, witnesses=witnesses, quorum=quorum)
    except QuorumShort as short:
        _fail(short, ExitCode.INCOMPLETE, is_json=json)
    except (ProofInvalid, ValueError) as invalid:
        _fail(invalid, ExitCode.REFUSED, is_json=json)
    if json:
        emit(_verified_json(verified))
    else:
        _print_verified(verified)


@app.command("show")
def show(
    call_id: Annotated[str, typer.Argument(help="The call's id.")],
    name: Annotated[str, typer.Option("--as", help="The identity that reads; policy must permit it.")] = "reviewer",
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Decrypt one call for a reviewer. That it was read, and by whom, is recorded first."""
    from sandbox.receipts.payloads import PayloadUnreadable
    from sandbox.reviewing import read_call

    try:
        record, payloads = read_call(deployment, name, call_id)
    except PayloadUnreadable as unreadable:
        _fail(unreadable, ExitCode.REFUSED, is_json=json)
    shown = {role: _readable(payload) for role, payload in payloads.items()}
    if json:
        emit({"record": _record_json(record), "payloads": shown})
        return
    for field, value in _record_json(record).items():
        sys.stdout.write(f"{field:<16} {value}\n")
    for role, text in shown.items():
        sys.stdout.write(f"{role:<16} {text}\n")
    sys.stdout.write("this reading is on record\n")


@app.command("audit")
def audit(
    key: KeyOption,
    remember: Annotated[
        Path | None, typer.Option(help="A checkpoint kept from an earlier audit; rewritten when this one succeeds.")
    ] = None,
    json: JsonOption = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Check the whole log: every leaf, root, checkpoint, chain and payload. Says what it did not check."""
    from sandbox.audit.audit import LogInvalid, audit_log
    from sandbox.deployment import Deployment

    database = Deployment(deployment).log_database
    if not database.exists():
        raise Misconfigured(f"{database}: there is no log; is {deployment} a deployment?")
    kept = remember.read_bytes() if remember is not None and remember.exists() else None
    try:
        report = audit_log(database, _read_key(key), remembered=kept, progress=_progress())
    except LogInvalid as invalid:
        _fail(invalid, ExitCode.REFUSED, is_json=json)
    if remember is not None and report.newest_checkpoint:
        remember.write_bytes(report.newest_checkpoint)
    if json:
        emit(_report_json(report))
    else:
        _print_report(report)


def _progress() -> Callable[[int, int], None]:
    begun = time.monotonic()

    def tell(done: int, whole: int) -> None:
        if time.monotonic() - begun > PROGRESS_AFTER_S:
            sys.stderr.write(f"\r{done} of {whole} records")
            if done >= whole:
                sys.stderr.write("\n")

    return tell


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read ({error.strerror})") from error


def _read_key(path: Path) -> str:
    try:
        return _sound_key(_read(path).decode("utf-8").strip(), str(path))
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{path}: not a verifier key; one line `name+hash+base64` is accepted") from error


def _key_line(text: str) -> str:
    return _sound_key(text, "--witness") if "+" in text else _read_key(Path(text))


def _sound_key(line: str, place: str) -> str:
    """Return the line if it is a verifier key: without one nothing can be decided."""
    from sandbox.audit.notes import NoteInvalid, parse_verifier_key

    try:
        parse_verifier_key(line)
    except NoteInvalid as error:
        raise Misconfigured(f"{place}: {error}") from error
    return line


def _fail(error: Exception, code: ExitCode, *, is_json: bool) -> NoReturn:
    if is_json:
        emit({"verified": False, "message": str(error), "exit_code": int(code)})
        raise typer.Exit(code)
    stop(code, f"not valid: {error}")


def _verified_json(verified: VerifiedReceipt) -> JsonObject:
    return {
        "verified": True,
        "origin": verified.origin,
        "index": verified.index,
        "tree_size": verified.tree_size,
        "witnesses": verified.witnesses,
        "record": _record_json(verified.record),
        "not_checked": verified.not_checked,
    }


def _print_verified(verified: VerifiedReceipt) -> None:
    lines = [f"verified: leaf {verified.index} of {verified.tree_size} in {verified.origin}"]
    lines += [f"  {field:<14} {value}" for field, value in _record_json(verified.record).items()]
    lines += [f"  cosigned by    {witness}" for witness in verified.witnesses]
    lines += ["not checked:"] + [f"  {item}" for item in verified.not_checked]
    sys.stdout.write("\n".join(lines) + "\n")


def _record_json(record: record_pb2.Record) -> dict[str, str | int | list[str]]:
    from sandbox.v1 import record_pb2

    if not record.schema_version:
        return {}
    facts: dict[str, str | int | list[str]] = {
        "kind": record_pb2.RecordKind.Name(record.kind).removeprefix("RECORD_KIND_").lower(),
        "call_id": record.call_id,
        "time": datetime.fromtimestamp(record.wall_time_us / 1e6, UTC).isoformat(timespec="milliseconds"),
        "status": record_pb2.RecordStatus.Name(record.status).removeprefix("RECORD_STATUS_").lower(),
        "tool": record.tool,
        "tool_version": record.tool_version,
        "reason": record.reason,
        "rule": record.rule,
        "policies": list(record.policy_rule_ids),
        "connection": record.connection,
        "tables": list(record.relations),
        "columns": list(record.columns),
        "functions": list(record.functions),
        "rows": record.rows,
        "bytes": record.bytes,
        "principal": record.principal_pseudonym.hex(),
        "spec_digest": record.spec_digest.hex(),
        "policy_digest": record.policy_digest.hex(),
        "build": record.build,
    }
    return {name: value for name, value in facts.items() if value not in ("", [], 0)}


def _readable(payload: bytes) -> str:
    text = payload.decode("utf-8", "replace")
    try:
        return jsonlib.dumps(jsonlib.loads(text), ensure_ascii=True)
    except ValueError:
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _report_json(report: AuditReport) -> JsonObject:
    return {
        "verified": True,
        "tree_size": report.tree_size,
        "checkpoints": report.checkpoints,
        "unsigned_checkpoints": report.unsigned_checkpoints,
        "payloads": report.payloads,
        "tokens": report.tokens,
        "remembered_size": report.remembered_size,
        "not_checked": report.not_checked,
    }


def _print_report(report: AuditReport) -> None:
    what = f"{report.tree_size} records, {report.checkpoints} checkpoints, {report.payloads} payloads"
    lines = [f"verified: {what}, {report.tokens} token chains without a gap"]
    if report.unsigned_checkpoints:
        lines.append(f"{report.unsigned_checkpoints} checkpoints wait for their signature; the next start signs them")
    if report.remembered_size:
        lines.append(f"the log begins with the remembered {report.remembered_size} records")
    lines += ["not checked:"] + [f"  {item}" for item in report.not_checked]
    sys.stdout.write("\n".join(lines) + "\n")
