"""Which commands are there? The command line's table; each command imports its machinery only when it runs."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from sandbox.cli import bench, call, cert, demo, init, lint, log, new, serve, sql, test, token
from sandbox.cli.common import ExitCode, emit
from sandbox.deployment import Misconfigured
from sandbox.problems import LintFailed
from sandbox.reasons import Fault, Refused, Status
from sandbox.values import JsonObject

app = typer.Typer(
    name="sandbox",
    help="Confine, execute and prove the tool calls a language model proposes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("call")(call.call)
app.command("explain")(call.explain)
app.command("lint")(lint.lint)
app.command("test")(test.examples)
app.add_typer(new.app, name="new")
app.add_typer(token.app, name="token")
app.add_typer(cert.app, name="cert")
app.add_typer(sql.app, name="sql")
app.add_typer(log.app, name="log")
app.command("demo")(demo.demo)
app.add_typer(bench.app, name="bench")


def main() -> NoReturn:
    """Run one command; whatever stops it becomes one sentence and an exit code."""
    try:
        app()
    except (Misconfigured, Refused, Fault, OSError) as stopped:
        sys.exit(_tell(stopped))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(ExitCode.GOOD)


def _tell(stopped: Misconfigured | Refused | Fault | OSError) -> ExitCode:
    code = _exit_code(stopped)
    if "--json" in sys.argv:
        emit({"error": _as_json(stopped), "exit_code": int(code)})
    else:
        sys.stderr.write(f"error: {stopped}\n")
    return code


def _exit_code(stopped: Misconfigured | Refused | Fault | OSError) -> ExitCode:
    match stopped:
        case LintFailed():
            return ExitCode.REFUSED
        case Refused(status=Status.UNAUTHENTICATED):
            return ExitCode.NOT_AUTHENTICATED
        case Refused():
            return ExitCode.REFUSED
        case Fault():
            return ExitCode.FAULT
        case _:
            return ExitCode.USAGE


def _as_json(stopped: Exception) -> JsonObject:
    if isinstance(stopped, LintFailed):
        return {"message": "lint failed", "problems": [problem.as_json() for problem in stopped.problems]}
    reason = stopped.reason.value if isinstance(stopped, Refused) else ""
    return {"message": str(stopped), "reason": reason}


if __name__ == "__main__":
    main()
