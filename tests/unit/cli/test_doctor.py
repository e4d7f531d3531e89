"""Does `sandbox doctor` say what is good, what is wrong and what cannot be decided, and print what mends it?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from command_line import CommandLine
from ledger_cast import Ledger, ledger_on

from sandbox.deployment import Deployment
from sandbox.doctor import diagnosis
from sandbox.doctor.findings import Finding
from sandbox.founding import create_deployment

VARIABLE = "LEDGER_DSN"


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    with ledger_on(18) as made:
        yield made


@pytest.fixture
def deployment(tmp_path: Path, sandbox: CommandLine) -> Deployment:
    """A new deployment with the example's SQLite file."""
    made = create_deployment(tmp_path / "d")
    sandbox.over(made.root)
    return made


@pytest.fixture
def with_ledger(deployment: Deployment, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The same, with a connection to the ledger as well."""
    with deployment.connections.open("a", encoding="utf-8") as file:
        file.write(f'\n[ledger]\nengine = "postgres"\ndsn = {{env = "{VARIABLE}"}}\nceiling = {{tables = "all"}}\n')
    host = quote(str(ledger.server.folder), safe="")
    monkeypatch.setenv(VARIABLE, f"postgresql://looks_only:looks@/{ledger.database}?host={host}")
    return deployment


@pytest.mark.requirement("doctor:cli:many")
@pytest.mark.usefixtures("deployment")
def test_of_many_findings_of_one_check_three_are_told_and_json_holds_all(
    sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = tuple(Finding("revoke-missing", f"may call f{number}()", "REVOKE …;") for number in range(180))
    several = tuple(Finding("reach", f"reads t{number}", "REVOKE …;") for number in range(4))
    warnings = tuple(Finding("revoke-missing", f"may see v{number}", "REVOKE …;", "warning") for number in range(6))
    found = (*many, *warnings, *several)
    report = diagnosis.Report(connection="shop", engine="sqlite", checks=("everything",), findings=found)
    monkeypatch.setattr(diagnosis, "diagnose", lambda *_: (report,))
    told = sandbox.run("doctor")

    assert told.out.count("may call f") == 3
    assert "  error: and 177 more like it; `--json` lists all [revoke-missing]\n" in told.out
    assert told.out.count("may see v") == 3
    assert "  warning: and 3 more like it; `--json` lists all [revoke-missing]\n" in told.out
    assert told.out.count("reads t") == 4  # one more than three is told, not counted
    assert len(sandbox.run("doctor", "--json").json()["connections"][0]["findings"]) == 190


@pytest.mark.requirement("doctor:cli:files")
@pytest.mark.usefixtures("deployment")
def test_a_file_is_opened_and_each_tool_rehearsed(sandbox: CommandLine) -> None:
    ended = sandbox.run("doctor", "--json")

    assert (ended.code, ended.json()["ok"]) == (0, True)
    assert ended.json()["connections"] == [
        {
            "connection": "shop",
            "engine": "sqlite",
            "checks": [
                "the file opens read-only",
                "each tool's rules hold on it",
                "the engine alone, on a canary",
                "known-bad calls of each tool",
            ],
            "undecided": None,
            "findings": [],
        }
    ]
    assert "shop (sqlite): good" in sandbox.run("doctor").out


@pytest.mark.requirement("doctor:cli:files")
def test_a_file_that_is_none_is_undecided(sandbox: CommandLine, deployment: Deployment) -> None:
    (deployment.root / "data" / "shop.db").write_bytes(b"no database, " * 1_000)

    ended = sandbox.run("doctor", "--json")

    assert (ended.code, ended.json()["ok"]) == (2, False)
    assert "cannot be looked at" in sandbox.run("doctor").out


@pytest.mark.requirement("doctor:cli:postgres")
@pytest.mark.usefixtures("with_ledger")
def test_from_nothing_to_good_by_the_printed_script_and_back(sandbox: CommandLine, ledger: Ledger) -> None:
    before = sandbox.run("doctor")
    assert before.code == 1
    assert "ledger (postgres): wrong" in before.out
    assert [line for line in before.out.splitlines() if "error:" in line or "warning:" in line] == [
        "  error: nothing of the set-up script is in this database; its administrator"
    ]
    assert "sandbox doctor --setup-sql ledger" in before.out
    assert "ledger (postgres): wrong; looked at the dsn's login, known-bad calls" in before.out

    script = sandbox.run("doctor", "--setup-sql", "ledger")
    assert script.code == 0
    ledger.run(script.out)
    after = sandbox.run("doctor", "--json")
    assert (after.code, after.json()["ok"]) == (0, True)

    undo = sandbox.run("doctor", "--setup-sql", "ledger", "--undo", "--json")
    ledger.run(str(undo.json()["script"]))
    assert sandbox.run("doctor").code == 1


@pytest.mark.requirement("doctor:cli:lease-key")
def test_the_script_makes_the_lease_key_that_a_deployment_lacks_and_no_other(
    sandbox: CommandLine, with_ledger: Deployment
) -> None:
    with_ledger.lease_key.unlink()
    assert sandbox.run("doctor").code == 2

    first = sandbox.run("doctor", "--setup-sql", "ledger").out
    key = with_ledger.lease_key.read_bytes()

    assert (len(key), with_ledger.lease_key.stat().st_mode & 0o777) == (32, 0o600)
    assert sandbox.run("doctor", "--setup-sql", "ledger").out == first
    assert with_ledger.lease_key.read_bytes() == key


@pytest.mark.requirement("doctor:cli:undecided")
@pytest.mark.usefixtures("with_ledger")
def test_a_server_that_is_not_there_is_undecided_and_its_dsn_stays_secret(
    sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, f"postgresql://somebody:hush-hush@/x?host={quote(str(tmp_path), safe='')}")

    ended, script = sandbox.run("doctor"), sandbox.run("doctor", "--setup-sql", "ledger")

    assert (ended.code, script.code, script.out) == (2, 2, "")
    for told in (ended.out, ended.err, script.err):
        assert "hush-hush" not in told
        assert os.environ[VARIABLE] not in told


@pytest.mark.requirement("doctor:cli:usage")
@pytest.mark.usefixtures("deployment")
def test_what_has_no_script_says_so(sandbox: CommandLine) -> None:
    for words, said in (
        (["--setup-sql", "shop"], "needs no set-up script"),
        (["--setup-sql", "shpo"], "did you mean `shop`"),
        (["--undo"], "--undo goes with --setup-sql"),
    ):
        ended = sandbox.run("doctor", *words)
        assert ended.code == 2
        assert said in ended.err


@pytest.mark.requirement("doctor:cli:usage")
def test_a_deployment_that_does_not_lint_is_told_its_problems(sandbox: CommandLine, deployment: Deployment) -> None:
    (deployment.toolspecs / "broken.yaml").write_text("spec: tool/v1\n", "utf-8")

    ended = sandbox.run("doctor")

    assert ended.code == 1
    assert "broken.yaml" in ended.err


@pytest.mark.requirement("doctor:cli:no-tools")
def test_a_script_for_no_tool_says_so(sandbox: CommandLine, with_ledger: Deployment) -> None:
    words = ("new", "tool", "--connection", "ledger", "--table", "public.orders", "--name", "ledger.query")
    nobody = sandbox.run("doctor", "--setup-sql", "ledger")
    made = sandbox.run(*words, "--out", str(with_ledger.toolspecs / "ledger.query.yaml"))
    somebody = sandbox.run("doctor", "--setup-sql", "ledger")

    assert nobody.err.startswith("warning: no tool uses connection `ledger` yet: the script makes no views, and")
    assert (nobody.code, made.code, somebody.code, somebody.err) == (0, 0, 0, "")


@pytest.mark.requirement("telemetry:stderr:sentences")
def test_examples_of_a_database_that_is_not_set_up_are_told_in_sentences(
    sandbox: CommandLine, with_ledger: Deployment
) -> None:
    words = ("new", "tool", "--connection", "ledger", "--table", "public.orders", "--name", "ledger.query")
    sandbox.run(*words, "--out", str(with_ledger.toolspecs / "ledger.query.yaml"))

    tested = sandbox.run("test")

    assert (tested.code, "{" in tested.err) == (2, False)
    assert tested.err.splitlines()[-1].startswith("error: tool `ledger.query` did not pass its self-test")
