"""`sandbox call`, `explain` and `tools`: one request to the running service, as an agent would make it."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sandbox.cli.asking import UNTOLD, UNTOLD_OF_ID, asked
from sandbox.cli.common import (
    DeploymentOption,
    ExitCode,
    JsonOption,
    check_seconds,
    emit,
    warn,
    wrapped,
)
from sandbox.problems import counted
from sandbox.reasons import printable
from sandbox.values import Cell, JsonObject, JsonValue

if TYPE_CHECKING:
    from sandbox.client import Answer, Client, Explanation, Receipt, Refusal, Result, Tool

_LEAST_S: Final = 0.001
_MOST_S: Final = 86_400.0
ToolArgument = Annotated[str, typer.Argument(help="The tool's name, such as `shop.query`.")]
NameOption = Annotated[str, typer.Option("--as", help="The identity to call as; its certificate and token are used.")]
ArgsOption = Annotated[str, typer.Option("--args", help="The arguments as one JSON object, such as '{\"id\": 7}'.")]
ReceiptOption = Annotated[Path | None, typer.Option("--receipt", help="Write the receipt to this file.")]
AddressOption = Annotated[str, typer.Option(help="HOST:PORT of the service; by default the one running over DIR.")]
TimeoutOption = Annotated[float, typer.Option(help="Seconds to wait, 0.001 to 86400; the service stops the work then.")]


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

    def ask(client: Client) -> Answer:
        return client.call(tool, args, request_id=request_id, timeout_s=timeout)

    check_seconds("--timeout", timeout, _LEAST_S, _MOST_S)
    _check_receipt_path(receipt)
    untold = UNTOLD_OF_ID if request_id else UNTOLD
    _tell(asked(ask, deployment, name, address, is_json=json, untold=untold), receipt, is_json=json)


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

    def ask(client: Client) -> Answer:
        return client.explain(tool, args, timeout_s=timeout)

    check_seconds("--timeout", timeout, _LEAST_S, _MOST_S)
    _check_receipt_path(receipt)
    _tell(asked(ask, deployment, name, address, is_json=json), receipt, is_json=json)


def tools(
    name: NameOption = "agent",
    address: AddressOption = "",
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """List the tools that this identity may see, as the service tells them to a model; policy decides each call."""
    found = asked(lambda client: client.tools(), deployment, name, address, is_json=json)
    if json:
        emit([_tool_json(tool) for tool in found])
        return
    for tool in found:
        sys.stdout.write(f"{tool.name} {tool.version} ({tool.effects})\n")
        use_when = f"use when: {tool.use_when}" if tool.use_when else ""
        for line in filter(None, (tool.summary, use_when, _arguments(tool), *_explained(tool))):
            sys.stdout.write(wrapped(f"    {printable(line)}", 4) + "\n")
    sys.stdout.write(f"{counted(len(found), 'tool')} served within the token's scope; policy decides each call\n")


def _tool_json(tool: Tool) -> JsonObject:
    return {
        "name": tool.name,
        "version": tool.version,
        "summary": tool.summary,
        "use_when": tool.use_when,
        "effects": tool.effects,
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "examples": tool.examples,
        "spec_digest": tool.spec_digest,
    }


def _arguments(tool: Tool) -> str:
    properties = tool.input_schema.get("properties")
    return f"arguments: {', '.join(properties) or 'none'}" if isinstance(properties, Mapping) else ""


def _explained(tool: Tool) -> list[str]:
    """Return what each argument is, as its schema says: of SQL also what it may read."""
    properties = tool.input_schema.get("properties")
    known = properties.items() if isinstance(properties, Mapping) else ()
    said = [(name, schema.get("description")) for name, schema in known if isinstance(schema, Mapping)]
    return [f"{name}: {description}" for name, description in said if description]


def _check_receipt_path(path: Path | None) -> None:
    """Raise `Misconfigured` if no receipt could be written there: before a call that runs but once is made."""
    from sandbox.deployment import Misconfigured

    if path is None:
        return
    if not path.parent.is_dir():
        raise Misconfigured(f"--receipt {path}: there is no folder {path.parent}; nothing was asked")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Misconfigured(f"--receipt {path}: cannot be written; nothing was asked")


def _tell(answer: Answer, path: Path | None, *, is_json: bool) -> None:
    """Print the answer, and keep its receipt: what was answered is told even where the receipt cannot be kept."""
    problem, is_lost = _kept(answer, path)
    code = _print(answer, is_json=is_json)
    if problem:
        warn(f"--receipt {path}: {problem}")
    if is_lost and code is ExitCode.GOOD:
        code = ExitCode.FAULT
    if code is not ExitCode.GOOD:
        raise typer.Exit(code)


def _kept(answer: Answer, path: Path | None) -> tuple[str, bool]:
    """Write the receipt; return why there is none in the file, and whether one was lost."""
    from sandbox.client import Pending

    if path is None:
        return "", False
    if isinstance(answer, Pending):
        return "the call has no receipt before it ends; nothing was written", False
    if answer.receipt is None:
        return "this refusal has no receipt, for it is only counted; nothing was written", False
    try:
        path.write_bytes(answer.receipt.text)
    except OSError as error:
        again = f"`sandbox log show {answer.call_id}` finds the record"
        return f"the receipt could not be written ({error.strerror}); {again}", True
    return "", False


def _print(answer: Answer, *, is_json: bool) -> ExitCode:
    from sandbox.client import Explanation, Refusal, Result

    match answer:
        case Result():
            emit(_result_json(answer)) if is_json else _print_result(answer)
            return ExitCode.GOOD
        case Explanation():
            emit(_explanation_json(answer)) if is_json else _print_explanation(answer)
            return ExitCode.GOOD if answer.decision == "permit" else ExitCode.REFUSED
        case Refusal():
            emit(_refusal_json(answer)) if is_json else _print_refusal(answer)
            return ExitCode.REFUSED
        case _:
            delay = round(answer.retry_after_s, 3)
            state = "has begun and its end is not on record yet" if answer.is_unrecorded else "is still running"
            text = f"pending: call {answer.call_id} {state}; ask again in {delay} s\n"
            pending: JsonObject = {
                "outcome": "pending",
                "call_id": answer.call_id,
                "retry_after_s": delay,
                "is_unrecorded": answer.is_unrecorded,
            }
            emit(pending) if is_json else sys.stdout.write(text)
            return ExitCode.GOOD


def _result_json(result: Result) -> JsonObject:
    return {
        "outcome": "result",
        "call_id": result.call_id,
        "columns": [{"name": c.name, "type": c.type, "declared_type": c.declared_type} for c in result.columns],
        "rows": [[_json_cell(cell) for cell in row] for row in result.rows],
        "row_count": len(result.rows),
        "truncated_by": result.truncated_by,
        "omitted_columns": dict(result.omitted_columns),
        "receipt": _receipt_json(result.receipt),
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
        "requests": explanation.requests,
        "request_to_send": explanation.request_to_send,
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
        "effect": refusal.effect,
        "receipt": None if refusal.receipt is None else _receipt_json(refusal.receipt),
    }


def _receipt_json(receipt: Receipt) -> JsonObject:
    return {"index": receipt.verified.index, "tree_size": receipt.verified.tree_size}


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
    notes = [counted(len(result.rows), "row")]
    if result.truncated_by:
        notes.append(f"cut at the tool's max_{result.truncated_by}")
    notes += [f"{counted(count, 'column')} of {table} not shown" for table, count in result.omitted_columns.items()]
    notes += [f"receipt {result.receipt.verified.index} verified", f"call {result.call_id}"]
    sys.stdout.write(wrapped(", ".join(notes)) + "\n")


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
    return printable(str(cell))


def _print_refusal(refusal: Refusal) -> None:
    place = f" (line {refusal.line}, column {refusal.column})" if refusal.line else ""
    rule = f" [{refusal.rule}]" if refusal.rule else ""
    sys.stderr.write(f"refused {refusal.reason}: {refusal.message}{place}{rule}\n")
    if refusal.receipt is not None:
        sys.stderr.write(f"receipt {refusal.receipt.verified.index} verified, call {refusal.call_id}\n")
    if refusal.effect:
        sys.stderr.write(f"the call had begun; its effect: {refusal.effect}\n")
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
    lines = [f"decision   {explanation.decision}"]
    if explanation.sql_to_run:
        lines.append(f"sql        {_text_cell(explanation.sql_to_run)}")
    lines += [f"request    {printable(line)}" for line in explanation.request_to_send.splitlines() if line]
    lines += [f"{name:<10} {', '.join(values)}" for name, values in facts.items() if values]
    lines += [f"filter     {table}: {text}" for table, text in explanation.row_filters.items()]
    sys.stdout.write("\n".join(lines) + "\nnothing was run\n")
