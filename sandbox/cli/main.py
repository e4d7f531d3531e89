"""Which commands are there? The command line's table; each command imports its machinery only when it runs."""

from __future__ import annotations

import io
import os
import sys
import traceback
from typing import Annotated, Final, NoReturn

import typer

from sandbox.cli import (
    backup,
    bench,
    call,
    cert,
    connect,
    demo,
    doctor,
    init,
    lint,
    log,
    mcp,
    new,
    serve,
    sql,
    test,
    token,
    worker,
)
from sandbox.cli.common import ExitCode, emit, problem_text
from sandbox.deployment import Misconfigured
from sandbox.problems import LintFailed
from sandbox.reasons import Fault, Refused, Status
from sandbox.values import JsonObject

TRACEBACK: Final = "SANDBOX_TRACEBACK"
"""Set to `1` in the environment, it shows where an unforeseen fault came from; for those who repair us."""

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
app.command("worker", hidden=True)(worker.worker)
app.command("backup")(backup.backup)
app.command("tools")(call.tools)
app.command("call")(call.call)
app.command("explain")(call.explain)
app.command("mcp")(mcp.mcp)
app.command("connect")(connect.connect)
app.command("lint")(lint.lint)
app.command("test")(test.examples)
app.command("doctor")(doctor.doctor)
app.add_typer(new.app, name="new")
app.add_typer(token.app, name="token")
app.add_typer(cert.app, name="cert")
app.add_typer(sql.app, name="sql")
app.add_typer(log.app, name="log")
app.command("demo")(demo.demo)
app.add_typer(bench.app, name="bench")


def _show_version(is_asked: bool) -> None:  # noqa: FBT001 - the shape of an option's callback
    if is_asked:
        from sandbox.build import build_id

        sys.stdout.write(f"sandbox {build_id()}\n")
        raise typer.Exit


@app.callback()
def sandbox(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the build and end.")
    ] = False,
) -> None:
    """Confine, execute and prove the tool calls a language model proposes."""


def main() -> NoReturn:
    """Run one command; whatever stops it becomes one sentence and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a letter that the locale has not, after the call has run
    try:
        app()
    except (Misconfigured, Refused, Fault, OSError) as stopped:
        sys.exit(_tell(stopped))
    except KeyboardInterrupt:
        sys.exit(130)
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as unforeseen:  # noqa: BLE001 - a panic in an engine is no `Exception`
        sys.exit(_tell(unforeseen))
    sys.exit(ExitCode.GOOD)


def _tell(stopped: BaseException) -> ExitCode:
    code = _exit_code(stopped)
    if code is ExitCode.FAULT and os.environ.get(TRACEBACK) == "1":
        traceback.print_exception(stopped)
    if "--json" in sys.argv:
        emit({"error": _as_json(stopped), "exit_code": int(code)})
    elif isinstance(stopped, LintFailed):
        sys.stderr.write("error: " + "\n".join(problem_text(problem) for problem in stopped.problems) + "\n")
    else:
        sys.stderr.write(f"error: {_sentence(stopped)}\n")
    return code


def _exit_code(stopped: BaseException) -> ExitCode:
    match stopped:
        case LintFailed():
            return ExitCode.REFUSED
        case Refused(status=Status.UNAUTHENTICATED):
            return ExitCode.NOT_AUTHENTICATED
        case Refused():
            return ExitCode.REFUSED
        case Misconfigured() | OSError():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAULT


def _sentence(stopped: BaseException) -> str:
    match stopped:
        case OSError(filename=str() | bytes() | os.PathLike() as name, strerror=str() as why):
            return f"{os.fsdecode(name)}: {why[:1].lower()}{why[1:]}"
        case Misconfigured() | Refused() | Fault() | OSError():
            return str(stopped)
        case _:
            return f"unforeseen fault ({type(stopped).__name__}); set {TRACEBACK}=1 and run again to see where"


def _as_json(stopped: BaseException) -> JsonObject:
    if isinstance(stopped, LintFailed):
        return {"message": "lint failed", "reason": "", "problems": [problem.as_json() for problem in stopped.problems]}
    reason = stopped.reason.value if isinstance(stopped, Refused) else ""
    return {"message": _sentence(stopped), "reason": reason}


if __name__ == "__main__":
    main()
