"""`sandbox sql check`: ask the gate about many statements, JSON Lines in and out."""

from __future__ import annotations

import json
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from sandbox.cli.common import DeploymentOption, claims_of, emit
from sandbox.deployment import Misconfigured
from sandbox.values import JsonObject, JsonValue

if TYPE_CHECKING:
    from sandbox.reasons import Refused
    from sandbox.stages import ResultBody, SqlPlan
    from sandbox.trial import Trial

app = typer.Typer(help="Ask the SQL gate.", no_args_is_help=True)


@app.callback()
def sql() -> None:
    """Ask the SQL gate."""


@app.command("check")
def check(
    tool: Annotated[str, typer.Option(help="The tool whose rules apply; it takes model-written SQL.")],
    file: Annotated[Path | None, typer.Argument(help='JSON Lines of {"id","sql"}; stdin if left out.')] = None,
    claim: Annotated[list[str] | None, typer.Option(help="K=V, a claim of the caller; V is JSON if it parses.")] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Run what is permitted, through the pipeline.")] = False,
    deployment: DeploymentOption = Path(),
) -> None:
    """Decide about each statement, one JSON line each, in order; spends no rate and no cold-parse limit."""
    from sandbox.reviewing import SQL_CHECK
    from sandbox.telemetry.events import told_to_people
    from sandbox.trial import opened_trial

    claims, opened = claims_of(claim), opened_trial(deployment, subject=SQL_CHECK, is_unlimited=True)
    with told_to_people(), opened as trial, _lines(file) as lines:
        trial.must_take_sql(tool)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                emit(_answer(trial, tool, claims, _question(line, number), is_executed=execute))


class _Question:
    """One line of input."""

    def __init__(self, name: JsonValue, sql: str) -> None:
        self.name = name
        self.sql = sql


def _lines(file: Path | None) -> TextIO:
    if file is not None:
        return file.open("r", encoding="utf-8", errors="surrogateescape")
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    return sys.stdin


def _question(line: str, number: int) -> _Question:
    try:
        question = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f'line {number} is not JSON; one object `{{"id","sql"}}` a line is accepted') from error
    if not (isinstance(question, dict) and isinstance(question.get("sql"), str)):
        raise Misconfigured(f'line {number} is no question; one object `{{"id","sql"}}` a line is accepted')
    return _Question(question.get("id"), question["sql"])


def _answer(
    trial: Trial, tool: str, claims: JsonObject, question: _Question, *, is_executed: bool
) -> dict[str, JsonValue]:
    from sandbox.reasons import Refused

    begun = time.perf_counter_ns()
    try:
        plan = trial.plan(tool, question.sql, claims)
    except Refused as refused:
        answer = _refused(question, refused)
    else:
        answer = _permitted(question, plan)
    answer["elapsed_us"] = (time.perf_counter_ns() - begun) // 1000
    if is_executed:
        answer |= _executed(trial, tool, claims, question.sql, is_permitted=answer["decision"] == "permit")
    return answer


def _permitted(question: _Question, plan: SqlPlan) -> dict[str, JsonValue]:
    return {
        "id": question.name,
        "decision": "permit",
        "reason": None,
        "rule": None,
        "line": None,
        "column": None,
        "sql_to_run": plan.sql_to_run,
        "relations": plan.rights.relations,
        "columns": [f"{table}.{column}" for table, column in plan.rights.columns],
        "functions": plan.rights.functions,
    }


def _refused(question: _Question, refused: Refused) -> dict[str, JsonValue]:
    return {
        "id": question.name,
        "decision": "refuse",
        "reason": refused.reason.value,
        "message": refused.message + _claim_hint(refused),
        "rule": refused.rule,
        "line": refused.line or None,
        "column": refused.column or None,
        "sql_to_run": None,
        "relations": [],
        "columns": [],
        "functions": [],
    }


def _claim_hint(refused: Refused) -> str:
    """Return how to give a claim: there is no token here that could carry it."""
    claim = refused.metadata.get("claim")
    return f"; `--claim {claim}=VALUE` gives it" if refused.rule == "claims/missing" and claim else ""


def _executed(trial: Trial, tool: str, claims: JsonObject, sql: str, *, is_permitted: bool) -> dict[str, JsonValue]:
    from sandbox.reasons import Refused
    from sandbox.stages import ResultBody

    nothing: dict[str, JsonValue] = {
        "result_columns": [],
        "rows": [],
        "row_count": 0,
        "truncated": False,
        "error": None,
    }
    if not is_permitted:
        return nothing
    try:
        answer = trial.call_sql(tool, sql, claims).answer
    except Refused as refused:
        answer = refused
    match answer:
        case ResultBody():
            return _rows(answer)
        case Refused():
            return nothing | {"error": _class_of(answer)}
        case _:
            return nothing | {"error": "pending"}


def _rows(body: ResultBody) -> dict[str, JsonValue]:
    return {
        "result_columns": [{"name": column.name, "type": column.type} for column in body.columns],
        "rows": json.loads(body.rows_json),
        "row_count": body.row_count,
        "truncated": bool(body.truncation.value),
        "error": None,
    }


def _class_of(refused: Refused) -> str:
    """Return the fixed class name: the engine's own for a failed statement, else the reason in lower case."""
    return refused.metadata.get("error", refused.reason.value.lower())
