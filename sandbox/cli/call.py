"""`sandbox call` and `sandbox explain`: one call to the running service, as an agent would make it."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.common import DeploymentOption, ExitCode, JsonOption, emit, stop
from sandbox.values import Cell, JsonObject, JsonValue

if TYPE_CHECKING:
    from sandbox.client import Answer, Client, Explanation, Refusal, Result

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")

ToolArgument = Annotated[str, typer.Argument(help="The tool's name, such as `shop.query`.")]
NameOption = Annotated[str, typer.Option("--as", help="The identity to call as; its certificate and token are used.")]
ArgsOption = Annotated[str, typer.Option("--args", help="The arguments as one JSON object, such as '{\"id\": 7}'.")]
ReceiptOption = Annotated[Path | None, typer.Option("--receipt", help="Write the receipt to this file.")]
AddressOption = Annotated[str, typer.Option(help="HOST:PORT of the service; by default the one running over DIR.")]
TimeoutOption = Annotated[float, typer.Option(help="Seconds to wait; the service stops the work then.")]


def call(
    tool: ToolArgument,
    args: ArgsOption,
    name: NameOption = "agent",
    receipt: ReceiptOption = None,
    request_id: Annotated[str, typer.Option(help="Makes the call safe to send again within 24 hours.")] = "",
    timeout: TimeoutOption = 30.0,
    address: AddressOption = "",
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """Call a tool and verify its receipt. The result goes to stdout, a refusal to stderr with exit code 1."""
    with _told(is_json=json), _client(deployment, name, address) as client:
        answer = client.call(tool, args, request_id=request_id, timeout_s=timeout)
    _tell(answer, receipt, is_json=json)


def explain(
    tool: ToolArgument,
    args: ArgsOption,
    name: NameOption = "agent",
    receipt: ReceiptOption = None,
    timeout: TimeoutOption = 30.0,
    address: AddressOption = "",
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """Print the decision, the deciding rules, the SQL to be run and the rights it needs. Runs nothing."""
    with _told(is_json=json), _client(deployment, name, address) as client:
        answer = client.explain(tool, args, timeout_s=timeout)
    _tell(answer, receipt, is_json=json)


@contextmanager
def _told(*, is_json: bool) -> Iterator[None]:
    """Turn what the client raises into one sentence and an exit code."""
    from sandbox.client import ClientError, NotAuthenticated, ReceiptInvalid, ServiceError

    try:
        yield
    except ClientError as error:
        is_refused = isinstance(error, ReceiptInvalid) or (isinstance(error, ServiceError) and bool(error.reason))
        code = ExitCode.REFUSED if is_refused else ExitCode.FAULT
        if isinstance(error, NotAuthenticated):
            code = ExitCode.NOT_AUTHENTICATED
        if is_json:
            reason = error.reason if isinstance(error, ServiceError) else ""
            emit({"error": {"message": str(error), "reason": reason}, "exit_code": int(code)})
            raise typer.Exit(code) from error
        stop(code, str(error))


def _client(deployment: Path, name: str, address: str) -> Client:
    from sandbox.client import Client
    from sandbox.deployment import Misconfigured
    from sandbox.reasons import quoted

    if not _NAME.fullmatch(name):
        raise Misconfigured(f"--as {quoted(name)}: an identity's name has letters, digits, `.`, `_` and `-`")
    try:
        return Client.from_deployment(deployment, name, address)
    except FileNotFoundError as error:
        what = "no service runs over this deployment; start one with `sandbox serve`"
        if error.filename is not None and not str(error.filename).endswith("address"):
            what = f"there is no identity `{name}`; make one with `sandbox token new {name}`"
        raise Misconfigured(f"{error.filename}: {what}") from error


def _tell(answer: Answer, receipt: Path | None, *, is_json: bool) -> None:
    from sandbox.client import Explanation, Pending, Refusal, Result

    if not isinstance(answer, Pending) and answer.receipt is not None and receipt is not None:
        receipt.write_bytes(answer.receipt.text)
    match answer:
        case Result():
            emit(_result_json(answer)) if is_json else _print_result(answer)
        case Explanation():
            emit(_explanation_json(answer)) if is_json else _print_explanation(answer)
            if answer.decision != "permit":
                stop(ExitCode.REFUSED)
        case Refusal():
            emit(_refusal_json(answer)) if is_json else _print_refusal(answer)
            stop(ExitCode.REFUSED)
        case Pending():
            delay = round(answer.retry_after_s, 3)
            text = f"pending: call {answer.call_id} is still running; ask again in {delay} s\n"
            pending: JsonObject = {"outcome": "pending", "call_id": answer.call_id, "retry_after_s": delay}
            emit(pending) if is_json else sys.stdout.write(text)


def _result_json(result: Result) -> JsonObject:
    return {
        "outcome": "result",
        "call_id": result.call_id,
        "columns": [{"name": c.name, "type": c.type, "declared_type": c.declared_type} for c in result.columns],
        "rows": [[_json_cell(cell) for cell in row] for row in result.rows],
        "row_count": len(result.rows),
        "truncated_by": result.truncated_by,
        "omitted_columns": dict(result.omitted_columns),
        "receipt": {"index": result.receipt.verified.index, "tree_size": result.receipt.verified.tree_size},
    }


def _explanation_json(explanation: Explanation) -> JsonObject:
    return {
        "outcome": "explanation",
        "call_id": explanation.call_id,
        "decision": explanation.decision,
        "rule_ids": explanation.rule_ids,
        "sql_to_run": explanation.sql_to_run,
        "relations": explanation.relations,
        "columns": explanation.columns,
        "functions": explanation.functions,
        "claims": explanation.claims,
        "row_filters": dict(explanation.row_filters),
    }


def _refusal_json(refusal: Refusal) -> JsonObject:
    return {
        "outcome": "refusal",
        "call_id": refusal.call_id,
        "reason": refusal.reason,
        "message": refusal.message,
        "rule": refusal.rule,
        "line": refusal.line,
        "column": refusal.column,
        "retry_after_s": refusal.retry_after_s,
        "metadata": dict(refusal.metadata),
    }


def _json_cell(cell: Cell) -> JsonValue:
    if isinstance(cell, bytes):
        return base64.b64encode(cell).decode()
    if isinstance(cell, int) and abs(cell) > 2**53:
        return str(cell)
    if isinstance(cell, float) and (cell != cell or cell in {float("inf"), float("-inf")}):  # noqa: PLR0124 - NaN
        return "NaN" if cell != cell else "Infinity" if cell > 0 else "-Infinity"  # noqa: PLR0124 - NaN
    return cell


def _print_result(result: Result) -> None:
    _print_table([_text_cell(column.name) for column in result.columns], result.rows)
    notes = [f"{len(result.rows)} rows"]
    if result.truncated_by:
        notes.append(f"cut at the tool's max_{result.truncated_by}")
    notes += [f"{count} columns of {table} not shown" for table, count in result.omitted_columns.items()]
    notes += [f"receipt {result.receipt.verified.index} verified", f"call {result.call_id}"]
    sys.stdout.write(", ".join(notes) + "\n")


def _print_table(names: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    shown = [[_text_cell(cell) for cell in row] for row in rows]
    widths = [max(len(name), *(len(row[i]) for row in shown)) if shown else len(name) for i, name in enumerate(names)]
    for line in (names, ["-" * width for width in widths], *shown):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _text_cell(cell: Cell) -> str:
    if cell is None:
        return "NULL"
    if isinstance(cell, bytes):
        return f"0x{cell.hex()}"
    text = str(cell)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _print_refusal(refusal: Refusal) -> None:
    place = f" (line {refusal.line}, column {refusal.column})" if refusal.line else ""
    rule = f" [{refusal.rule}]" if refusal.rule else ""
    sys.stderr.write(f"refused {refusal.reason}: {refusal.message}{place}{rule}\n")
    if refusal.retry_after_s > 0:
        sys.stderr.write(f"try again in {refusal.retry_after_s:.3f} s\n")


def _print_explanation(explanation: Explanation) -> None:
    facts: Mapping[str, Sequence[str]] = {
        "policies": explanation.rule_ids,
        "tables": explanation.relations,
        "columns": explanation.columns,
        "functions": explanation.functions,
        "claims": explanation.claims,
    }
    lines = [f"decision   {explanation.decision}", f"sql        {_text_cell(explanation.sql_to_run)}"]
    lines += [f"{name:<10} {', '.join(values)}" for name, values in facts.items() if values]
    lines += [f"filter     {table}: {text}" for table, text in explanation.row_filters.items()]
    sys.stdout.write("\n".join(lines) + "\nnothing was run\n")
