"""Does `sandbox bench sql` see each kind of harm, and is its whole corpus held on every engine that is here?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine
from postgres_server import OWNER, Server

from sandbox.bench.sql import corpus as corpora
from sandbox.bench.sql.bench import bench_sql
from sandbox.bench.sql.corpus import HONEST_CLASSES, Case, Corpus, parse_cases, read_corpus
from sandbox.bench.sql.ground import Ground, all_rights
from sandbox.bench.sql.harm import CLASSES, DECOY, Harm, Seen
from sandbox.bench.sql.postgres_ground import postgres_ground
from sandbox.bench.sql.report import as_json, is_good, missed
from sandbox.bench.sql.score import score, try_attack
from sandbox.bench.sql.sqlite_ground import sqlite_ground
from sandbox.deployment import Misconfigured
from sandbox.toolspec import SqlEngine


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """The shop on an engine."""
    if request.param == "sqlite":
        with sqlite_ground() as made:
            yield made
    else:
        server: Server = request.getfixturevalue("postgres")
        with postgres_ground(dsn(server)) as prepared:
            yield prepared


def dsn(server: Server) -> str:
    return f"postgresql://{OWNER}:{server.password}@/postgres?host={server.folder}"


@pytest.mark.requirement("sql:bench:corpus")
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("sqlite SELECT 1", "x.txt:2: a line that is not `ENGINES | CLASS | STATEMENT`"),
        ("sqlite | direct writes | ", "x.txt:2: a line that is not"),
        ("oracle | direct writes | SELECT 1", "x.txt:2: engine `oracle`; each of `sqlite`, `postgres`"),
        ("sqlite,sqlite | direct writes | SELECT 1", "x.txt:2: engine `sqlite`; each of"),
        ("sqlite | writes | SELECT 1", "x.txt:2: class `writes`; accepted are `stacked statements`"),
        ("sqlite | direct writes | SELECT '%FF'", "x.txt:2: `%XX` that are no UTF-8"),
        (
            "sqlite | direct writes | DELETE FROM a\nsqlite | locks | DELETE FROM a",
            "x.txt:3: the statement of line 2 again",
        ),
    ],
)
def test_a_line_that_cannot_be_read_is_told_with_its_place(line: str, told: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse_cases("x.txt", f"# head\n{line}\n", tuple(CLASSES))
    assert str(caught.value).startswith(told)


@pytest.mark.requirement("sql:bench:corpus")
def test_a_line_is_one_statement_an_engine_and_bytes_are_written_as_percent() -> None:
    cases = parse_cases("x.txt", "sqlite,postgres | locks | SELECT '%C3%A9'%0A-- %25", tuple(CLASSES))
    assert [(case.engine, case.sql, case.place) for case in cases] == [
        ("sqlite", "SELECT 'é'\n-- %", "x.txt:1"),
        ("postgres", "SELECT 'é'\n-- %", "x.txt:1"),
    ]


HARMFUL = (
    ("direct writes", "DELETE FROM orders", Harm.CHANGED),
    ("forbidden tables", "SELECT token FROM vault", Harm.SHOWS),
    ("forbidden tables", "SELECT count(*) FROM vault WHERE token = '{}'", Harm.TELLS),
    ("locks", "BEGIN", Harm.HOLDS),
    ("resources", "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r", Harm.SPENDS),
)


@pytest.mark.requirement("sql:bench:harm")
@pytest.mark.parametrize(("group", "sql", "harm"), HARMFUL)
def test_each_kind_of_harm_is_seen_and_put_right(ground: Ground, group: str, sql: str, harm: Harm) -> None:
    case = Case("x.txt", 1, ground.engine, group, sql)
    if harm is Harm.HOLDS and ground.engine == "postgres":
        case = dataclasses.replace(case, sql="SELECT pg_advisory_lock(7)")
    if harm is Harm.TELLS:
        case = dataclasses.replace(case, sql="SELECT count(*) FROM vault WHERE token LIKE '{}%'")

    assert try_attack(ground, case, ground.bare).harm is harm
    assert try_attack(ground, case, ground.confined, harm).harm is None
    harmless = dataclasses.replace(case, sql=f"SELECT '{DECOY}' AS n")
    assert try_attack(ground, harmless, ground.bare).harm is None


@pytest.mark.requirement("sql:bench:harm")
def test_an_attack_that_does_no_harm_is_an_error_of_the_corpus(ground: Ground) -> None:
    harmless = Corpus((Case("x.txt", 7, ground.engine, "direct writes", "SELECT 1"),), ())
    with pytest.raises(Misconfigured, match=f"x.txt:7: on {ground.engine} it does none of the harm of its class"):
        score(ground, harmless, (), lambda _: None)


@pytest.mark.requirement("sql:bench:harm")
def test_a_gate_that_lets_everything_through_is_seen(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the whole: without gate and confinement each attack is told as come through."""
    attacks = tuple(
        Case("x.txt", 1, ground.engine, group, sql) for group, sql, harm in HARMFUL if harm is not Harm.HOLDS
    )
    bare = ground.bare

    def run(_: object, text: str, __: float) -> Seen:
        return bare(text)

    monkeypatch.setattr(type(ground), "permit", lambda _, text: all_rights(text, {}, ()))
    monkeypatch.setattr(type(ground), "permit_bare", lambda _, text: text)
    monkeypatch.setattr(type(ground), "run", lambda _, *given: run(*given))
    found = score(ground, Corpus(attacks, ()), (), lambda _: None)

    assert [each.both is not None for each in found.attacks] == [True] * len(attacks)
    assert not is_good([found])
    assert all("through gate" in line and "through both" in line for line in missed([found]))


@pytest.mark.requirement("sql:bench:held")
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_nothing_of_the_corpus_comes_through_and_honest_statements_are_answered(
    engine: SqlEngine, request: pytest.FixtureRequest
) -> None:
    administrator = dsn(request.getfixturevalue("postgres")) if engine == "postgres" else ""
    (found,), _ = bench_sql(read_corpus(), [engine], administrator, lambda _: None)
    told = "\n".join(missed([found]))

    assert is_good([found]), told
    assert len(found.attacks) >= 200
    assert len(found.honest) >= 200
    assert sum(each.is_permitted for each in found.honest) >= 0.98 * len(found.honest), told


@pytest.mark.requirement("sql:bench:command")
def test_the_command_prints_tables_or_json_and_ends_with_1_if_something_came_through(
    sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Corpus(
        parse_cases("attacks.txt", "sqlite | direct writes | DELETE FROM orders", tuple(CLASSES)),
        parse_cases("honest.txt", "sqlite | plain reads | SELECT id FROM orders", HONEST_CLASSES),
    )
    monkeypatch.setattr(corpora, "read_corpus", lambda: few)
    told = sandbox.run("bench", "sql", "--list-missed")
    assert told.code == 0
    assert "| sqlite | 1 | 1 | 1 | 1 | 1 | 1 | 1 |" in told.out
    assert "PostgreSQL is left out" in told.out
    found = sandbox.run("bench", "sql", "--json").json()["engines"][0]
    assert (found["attacks"], found["stopped"], found["missed"]) == (1, {"gate": 1, "engine": 1, "both": 1}, [])
    monkeypatch.setattr("sandbox.bench.sql.report.is_good", lambda _: False)
    assert sandbox.run("bench", "sql").code == 1


@pytest.mark.requirement("sql:bench:corpus")
def test_the_corpus_can_be_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "attacks.txt").write_text("sqlite | locks | BEGIN\n", "utf-8")
    (tmp_path / "honest.txt").write_text("", "utf-8")
    assert len(read_corpus(tmp_path).attacks) == 1
    assert as_json([], ["x"]) == {"engines": [], "peers_not_installed": ["x"]}
