"""Does the gate permit nothing that tells or changes what is hidden? Short form of the SQL fuzzer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from mariadb_server import Server as MariadbServer
from postgres_server import OWNER, Server

from sandbox.bench.sql.ground import DISAGREES, all_rights
from sandbox.reasons import Reason, Refused
from sandbox.sql import Proven, layers
from sandbox.sql.rules import NAME_RULES, aggregate_only, columns

SCRIPTS = Path(__file__).parents[2] / "scripts" / "lib"
CASES = {"sqlite": 600, "postgres": 300, "duckdb": 300, "mysql": 400}
"""A few seconds each."""
MOST_CASES = {"sqlite": 2_000, "postgres": 1_000, "duckdb": 3_000, "mysql": 3_000}
"""Within which a rule that is off is found; most are within a tenth."""
SEEDS = {"sqlite": 5, "postgres": 5, "duckdb": 3, "mysql": 5}
CANARIES = {"tells", "shows"}


def scripts(name: str) -> ModuleType:
    """Return a module of the fuzzer, which lies beside the scripts."""
    if str(SCRIPTS) not in sys.path:
        sys.path.append(str(SCRIPTS))
    return import_module(name)


engines, oracle, mutants, runs, twins = map(
    scripts, ("fuzz_sql_engines", "fuzz_sql_oracle", "fuzz_sql_mutants", "fuzz_sql_run", "fuzz_sql_twins")
)
fuzz_sql = scripts("fuzz_sql")


@pytest.fixture(scope="module", params=list(CASES))
def pair(request: pytest.FixtureRequest) -> Iterator[object]:
    """The twins on an engine."""
    dsn = ""
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        dsn = f"postgresql://{OWNER}:{server.password}@/postgres?host={server.folder}"
    if request.param == "mysql":
        mariadb: MariadbServer = request.getfixturevalue("mariadb")
        dsn = mariadb.url("information_schema")
    with engines.ENGINES[request.param].pair(dsn) as made:
        yield made


def fuzzer(pair: object, found: list[object], cases: Mapping[str, int]) -> object:
    name = pair.engine  # type: ignore[attr-defined]
    order = runs.Order(name, SEEDS[name], 0, 1, cases=cases[name], shrink_s=1.0)
    return runs.Fuzzer(order, engines.ENGINES[name], pair, found.append)


@pytest.mark.requirement("sql:fuzz:short")
def test_what_the_gate_permits_answers_the_same_whatever_is_hidden(pair: object) -> None:
    found: list[object] = []
    *_, row = fuzzer(pair, found, CASES).run()  # type: ignore[attr-defined]

    assert [each for each in found if fuzz_sql.is_harm(each)] == []
    assert row.cases == CASES[pair.engine]  # type: ignore[attr-defined]
    assert 0.2 <= row.permitted / row.cases <= 0.6
    assert set(row.ways) == {"grammar", "mutant", "guided"}
    assert row.answered > row.permitted / 3


@pytest.mark.requirement("sql:fuzz:finds")
@pytest.mark.parametrize("rule", [columns, aggregate_only])
def test_a_rule_that_is_off_is_found_within_the_budget(
    pair: object, rule: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "NAME_RULES", tuple(each for each in NAME_RULES if each is not rule.check))
    found: list[object] = []
    for _ in fuzzer(pair, found, MOST_CASES).run():  # type: ignore[attr-defined]
        if CANARIES & {each.what for each in found}:  # type: ignore[attr-defined]
            break

    shown = [each for each in found if each.what in CANARIES]  # type: ignore[attr-defined]
    assert shown
    assert len(shown[0].text) <= len(shown[0].at_first)  # type: ignore[attr-defined]


@pytest.mark.requirement("sql:fuzz:finds")
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("SELECT count(*) FROM vault WHERE token = 'zq' OR token = 'aa'", "tells"),
        ("SELECT 1 / (SELECT count(*) - 2 FROM vault)", "tells"),
        ("SELECT id FROM products ORDER BY cost, id", "tells"),
        ("SELECT mark AS v FROM all_orders", "shows"),
        ("DELETE FROM products", "changed"),
        ("CREATE TABLE mine (x integer)", "changed"),
    ],
)
def test_each_harm_is_told_where_no_gate_stands(
    pair: object, text: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(pair), "permit", lambda _, text: [all_rights(text, {}, ())] * 2)
    monkeypatch.setattr(type(pair), "permit_bare", lambda _, text, __: text)

    judged = oracle.judge(pair, text)
    blamed = pair.settle()  # type: ignore[attr-defined]
    assert what in {judged.finding and judged.finding.what, *(each.harm for each in blamed)}

    harmless = oracle.judge(pair, "SELECT name FROM products ORDER BY id")
    assert (harmless.finding is None or harmless.finding.what == "stale", pair.settle()) == (True, [])  # type: ignore[attr-defined]


class _Gate:
    """An engine that answers what it is told to, behind a gate of its own."""

    engine = "sqlite"

    def __init__(self, bare: Sequence[str], confined: Sequence[str], error: Exception | None = None) -> None:
        self.answers = {"bare": bare, "confined": confined}
        self.error = error

    def permit(self, text: str) -> Sequence[Proven]:
        if self.error is not None:
            raise self.error
        return [all_rights(text, {}, ())] * 2

    def permit_bare(self, text: str, _: Sequence[Proven]) -> str:
        return text

    def is_by_chance(self, text: str) -> bool:
        return text.startswith("SELECT any_value")

    def bare(self, _: str, seconds: float = 0.0) -> object:
        return self._told("bare", seconds)

    def confined(self, _: Sequence[Proven], __: str, seconds: float = 0.0) -> object:
        return self._told("confined", seconds)

    def _told(self, where: str, _: float) -> object:
        return [twins.Answer(text, not text.startswith((DISAGREES, "too long"))) for text in self.answers[where]]


@pytest.mark.requirement("sql:fuzz:finds")
@pytest.mark.parametrize(
    ("bare", "confined", "error", "found"),
    [
        (["1", "1"], ["1", "1"], None, None),
        (["1", "2"], ["1", "1"], None, ("tells", "bare")),
        (["1", "1"], ["1", "2"], None, ("tells", "confined")),
        (["too long", "1"], ["1", "1"], None, None),
        (["1", "1"], ["1", "a canary7319"], None, ("tells", "confined")),
        (["1", "1"], ["a canary7319", "a canary7319"], None, ("shows", "confined")),
        (["1", "1"], [f"{DISAGREES} x", f"{DISAGREES} x"], None, ("stale", "confined")),
        (["1", "1"], ["1", "1"], KeyError("x"), ("raises", "gate")),
        (["1", "1"], ["1", "1"], Refused(Reason.SQL_NOT_READ_ONLY, "no", rule="sql/x"), None),
    ],
)
def test_what_counts_as_found(
    bare: Sequence[str], confined: Sequence[str], error: Exception | None, found: tuple[str, str] | None
) -> None:
    judged = oracle.judge(_Gate(bare, confined, error), "SELECT 1")
    assert (judged.finding and (judged.finding.what, judged.finding.where)) == found
    assert judged.is_permitted == (not isinstance(error, Refused))


@pytest.mark.requirement("sql:fuzz:finds")
def test_what_answers_by_the_order_of_rows_is_undecided() -> None:
    judged = oracle.judge(_Gate(["1", "1"], ["1", "2"]), "SELECT any_value(id) FROM orders")
    assert (judged.finding, judged.is_undecided) == (None, True)


@pytest.mark.requirement("sql:fuzz:finds")
def test_a_statement_is_confined_where_that_is_asked() -> None:
    gate = _Gate(["1", "1"], ["1", "2"])
    assert oracle.judge(gate, "SELECT 1", is_confined=False).finding is None
    assert oracle.judge(gate, "SELECT 1").finding.where == "confined"


@pytest.mark.requirement("sql:fuzz:finds")
def test_a_gate_that_takes_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "GATE_S", -1.0)
    gate = _Gate(["1", "1"], ["1", "1"])
    for watched in (None, gate.permit):
        judged = oracle.judge(gate, "SELECT 1", watched)
        assert (judged.finding.what, judged.finding.where) == ("slow", "gate")


@pytest.mark.requirement("sql:fuzz:reproduced")
def test_a_case_is_the_same_for_its_number_and_shrinks_to_what_matters() -> None:
    engine = engines.ENGINES["sqlite"]
    order = runs.Order("sqlite", 3, 0, 1)
    first, second = (runs.Fuzzer(order, engine, None, print) for _ in range(2))
    other = runs.Fuzzer(replace(order, seed=4), engine, None, print)

    cases = [first.case(number) for number in range(200)]
    assert cases == [second.case(number) for number in range(200)]
    assert cases != [other.case(number) for number in range(200)]
    assert mutants.shrunk("SELECT a, note FROM orders WHERE 1 = 1", lambda less: "note" in less, 10.0) == "note"


@pytest.mark.requirement("sql:fuzz:command")
def test_the_command_counts_its_cases_and_ends_with_zero(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(SCRIPTS / "fuzz_sql.py"),
        "--engine",
        "sqlite",
        "--cases",
        "150",
        "--seed",
        "5",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)  # noqa: S603 - our own script

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["engines"]["sqlite"]["cases"] == 300  # of two processes
    assert told["seed"] == 5


@pytest.mark.requirement("sql:fuzz:command")
@pytest.mark.parametrize(("what", "code"), [("tells", 1), ("stale", 0)])
def test_a_finding_is_kept_and_harm_is_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    found = runs.Found("sqlite", 7, 1, what, "bare", "said", "SELECT x", "SELECT x, y")
    kept: list[object] = []
    fuzz_sql._tell(found, kept)
    monkeypatch.setattr(fuzz_sql, "fuzz", lambda *_: ({"sqlite": runs.Row(cases=1)}, kept))

    assert fuzz_sql.main(["--engine", "sqlite"]) == code
    assert json.loads((tmp_path / "fuzz-crashes" / "sql-sqlite-1.json").read_text("utf-8"))["text"] == "SELECT x"
    assert "sqlite: 1 cases" in capsys.readouterr().out


@pytest.mark.requirement("sql:fuzz:command")
def test_a_process_that_dies_of_a_text_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    orders = [runs.Order("no such engine", 1, 0, 1)]
    _, found = fuzz_sql.fuzz(orders, tmp_path)
    assert [(each.what, each.where) for each in found] == [("crash", "process")]
