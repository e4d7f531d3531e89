"""Does `sandbox bench sql` see each kind of harm, and is its whole corpus held on every engine that is here?"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from command_line import CommandLine
from mariadb_server import Server as MariadbServer
from postgres_server import OWNER, Server

from sandbox.bench.sql import corpus as corpora
from sandbox.bench.sql.bench import GROUNDS, bench_sql
from sandbox.bench.sql.corpus import HONEST_CLASSES, Case, Corpus, parse_cases, read_corpus
from sandbox.bench.sql.ground import Ground, all_rights
from sandbox.bench.sql.harm import CLASSES, DECOY, Harm, Seen
from sandbox.bench.sql.mysql_ground import mysql_ground
from sandbox.bench.sql.report import as_json, is_good, missed
from sandbox.bench.sql.score import Score, score, try_attack
from sandbox.deployment import Misconfigured
from sandbox.toolspec import SqlEngine


@pytest.fixture(scope="module", params=["sqlite", "postgres", "duckdb", "mysql"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """The shop on an engine."""
    with GROUNDS[request.param](administrator(request.param, request)) as made:
        yield made


def administrator(engine: SqlEngine, request: pytest.FixtureRequest) -> str:
    """Return the dsn of an administrator of the tests' server; empty for an engine without one."""
    if engine == "postgres":
        server: Server = request.getfixturevalue("postgres")
        return f"postgresql://{OWNER}:{server.password}@/postgres?host={server.folder}"
    if engine == "mysql":
        mariadb: MariadbServer = request.getfixturevalue("mariadb")
        return mariadb.url("")
    return ""


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
@pytest.mark.parametrize(
    ("engine", "attacks", "honest"), [("sqlite", 1, 1), ("postgres", 1, 1), ("duckdb", 3, 2), ("mysql", 3, 2)]
)
def test_nothing_of_the_corpus_comes_through_and_honest_statements_are_answered(
    engine: SqlEngine, attacks: int, honest: int, request: pytest.FixtureRequest
) -> None:
    """Of an engine that takes long, every so many; `scripts/bench-sql-table` runs them all."""
    part = read_corpus().of(engine)
    some = Corpus(part.attacks[::attacks], part.honest[::honest])
    (found,) = bench_sql(some, {engine: administrator(engine, request)}, (), lambda _: None)
    told = "\n".join(missed([found]))

    assert is_good([found]), told
    assert len(part.attacks) >= LEAST[engine]
    assert len(part.honest) >= LEAST_HONEST[engine]
    assert sum(not each.is_permitted for each in found.honest) <= max(2, 0.02 * len(found.honest)), told


LEAST: Mapping[SqlEngine, int] = {"sqlite": 200, "postgres": 200, "duckdb": 150, "mysql": 150}
LEAST_HONEST: Mapping[SqlEngine, int] = {"sqlite": 200, "postgres": 200, "duckdb": 100, "mysql": 100}


@pytest.mark.requirement("sql:bench:harm")
@pytest.mark.parametrize(
    ("group", "sql", "harm"),
    [
        ("stacked statements", "SELECT 1; SET GLOBAL max_connections = 5", Harm.CHANGED),
        ("select into", "SELECT id INTO @a FROM products LIMIT 1", Harm.CHANGED),
        ("side effects", "SET sql_mode = 'ANSI_QUOTES'", Harm.CHANGED),
        ("files and network", "SELECT id INTO OUTFILE '{folder}/out' FROM products", Harm.CHANGED),
        ("locks", "SELECT id FROM products FOR UPDATE", Harm.HOLDS),
        ("locks", "SELECT get_lock('x', 0)", Harm.HOLDS),
        ("locks", "LOCK TABLES products WRITE", Harm.HOLDS),
        ("resources", "SELECT benchmark(100000000, md5('x'))", Harm.SPENDS),
    ],
)
def test_what_a_text_does_on_mariadb_is_seen_and_put_right(
    mysql: Ground, mariadb: MariadbServer, group: str, sql: str, harm: Harm
) -> None:
    settings = "SELECT * FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'MAX_CONNECTIONS'"
    before = mariadb.ask(settings)
    case = Case("x.txt", 1, "mysql", group, sql)

    assert try_attack(mysql, case, mysql.bare).harm is harm
    assert mysql.bare("SELECT count(*) FROM products").harms == frozenset()
    assert mariadb.ask(settings) == before


@pytest.fixture(scope="module")
def mysql(mariadb: MariadbServer) -> Iterator[Ground]:
    """The shop on MariaDB."""
    with mysql_ground(mariadb.url("")) as made:
        yield made


@pytest.mark.requirement("sql:bench:command")
def test_what_was_made_on_mariadb_is_gone_at_the_end(mariadb: MariadbServer) -> None:
    asked = "SHOW DATABASES; SELECT User, Host FROM mysql.user ORDER BY 1, 2"
    databases, accounts = mariadb.ask("SHOW DATABASES"), mariadb.ask(asked)
    with mysql_ground(mariadb.url("")):
        assert mariadb.ask("SHOW DATABASES") != databases
        assert mariadb.ask(asked) != accounts
    assert mariadb.ask("SHOW DATABASES") == databases
    assert mariadb.ask(asked) == accounts


@pytest.mark.requirement("sql:bench:command")
@pytest.mark.parametrize("dsn", ["postgresql://a:b@127.0.0.1/", "mysql://nobody:wrong@127.0.0.1:1/"])
def test_a_dsn_that_leads_to_no_mariadb_is_told(dsn: str) -> None:
    with pytest.raises(Misconfigured, match=r"--mysql: .*an administrator's dsn"), mysql_ground(dsn):
        pass


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
    found = sandbox.run("bench", "sql", "--json").json()["engines"][0]
    assert (found["attacks"], found["stopped"], found["missed"]) == (1, {"gate": 1, "engine": 1, "both": 1}, [])
    monkeypatch.setattr("sandbox.bench.sql.report.is_good", lambda _: False)
    assert sandbox.run("bench", "sql").code == 1


@pytest.mark.requirement("sql:bench:command")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--engine", "oracle"), "--engine: `oracle`; accepted are `sqlite`, `postgres`"),
        (("--engine", "sqlite", "--engine", "postgres"), "--engine postgres needs --postgres"),
        (("--engine", "mysql"), "--engine mysql needs --mysql"),
        (("--mysql", "NOT_THERE"), "--mysql: the environment variable `NOT_THERE` is not set"),
        (("--peers", "/nowhere.json"), "--peers: `/nowhere.json` cannot be read"),
    ],
)
def test_a_wrong_option_is_told(sandbox: CommandLine, options: tuple[str, ...], told: str) -> None:
    ended = sandbox.run("bench", "sql", *options)
    assert ended.code == 2
    assert told in ended.err


PEER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(asked["engine"] == "sqlite" and "DELETE" not in asked["sql"]), flush=True)
"""


@pytest.mark.requirement("sql:bench:peers")
def test_checkers_that_a_file_names_are_asked_in_processes_of_their_own(
    sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few = Corpus(
        parse_cases("a", "sqlite | direct writes | DELETE FROM orders\nsqlite | locks | BEGIN", tuple(CLASSES)),
        parse_cases("h", "sqlite | plain reads | SELECT id FROM orders", HONEST_CLASSES),
    )
    monkeypatch.setattr(corpora, "read_corpus", lambda: few)
    file = tmp_path / "peers.json"
    mine = {"name": "mine 1.0", "engines": ["sqlite"], "command": [sys.executable, "-c", PEER]}
    other = {"name": "of another engine", "engines": ["postgres"], "command": [sys.executable, "-c", "1"]}
    file.write_text(json.dumps([mine, other]), "utf-8")
    found = sandbox.run("bench", "sql", "--engine", "sqlite", "--peers", str(file), "--json").json()["engines"][0]
    assert found["with_effects"] == 2
    assert found["checkers"] == [
        {"name": "this gate", "stopped": 2, "stopped_with_effects": 2, "permitted": 1},
        {"name": "sqlglot walk", "stopped": 2, "stopped_with_effects": 2, "permitted": 1},
        {"name": "mine 1.0", "stopped": 1, "stopped_with_effects": 1, "permitted": 1},
    ]

    file.write_text(json.dumps([{**mine, "command": [sys.executable, "-c", "print(1)"]}]), "utf-8")
    ended = sandbox.run("bench", "sql", "--peers", str(file))
    assert ended.code == 2
    assert "--peers: `mine 1.0` answered `1`" in ended.err
    file.write_text(json.dumps([{**mine, "colour": "red"}]), "utf-8")
    assert (
        'a list of `{"name", "engines", "command"}` is accepted'
        in sandbox.run("bench", "sql", "--peers", str(file)).err
    )
    file.write_text(json.dumps([{**mine, "command": ["/nowhere"]}]), "utf-8")
    assert "the command of `mine 1.0` cannot be run" in sandbox.run("bench", "sql", "--peers", str(file)).err


@pytest.mark.requirement("sql:bench:corpus")
def test_the_corpus_can_be_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "attacks.txt").write_text("sqlite | locks | BEGIN\n", "utf-8")
    (tmp_path / "honest.txt").write_text("", "utf-8")
    assert len(read_corpus(tmp_path).attacks) == 1
    assert as_json([]) == {"engines": []}


ROOT = Path(__file__).parents[3]
TABLE = ROOT / "scripts" / "lib" / "bench_sql_table.py"
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "duckdb": "DuckDB", "mysql": "MariaDB"}


@pytest.mark.requirement("sql:bench:readme")
def test_the_readme_shows_the_corpus_as_it_is() -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    shown = page.split("<!-- bench sql: written by scripts/bench-sql-table -->")[1].split("<!-- bench sql: end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.split("\n") if line[:2] == "| "]
    counts = {row[0]: (int(row[1]) + int(row[2]), int(row[6])) for row in rows if len(row) == 9 and row[1].isdecimal()}
    parts = {engine: read_corpus().of(engine) for engine in GROUNDS}

    assert counts == {NAMES[name]: (len(part.attacks), len(part.honest)) for name, part in parts.items()}, (
        "run scripts/bench-sql-table"
    )


@pytest.mark.requirement("sql:bench:readme")
def test_the_table_is_put_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page, begin, end = (
        tmp_path / "page.md",
        "<!-- bench sql: written by scripts/bench-sql-table -->\n",
        "<!-- bench sql: end -->\n",
    )
    page.write_text(f"before\n{begin}stale\n{end}after\n", "utf-8")
    told = json.dumps(as_json([Score("sqlite", (), (), (), ("other 2.0",))])).encode()
    subprocess.run([sys.executable, TABLE, page], input=told, check=True, timeout=60)  # noqa: S603 - our own script

    text = page.read_text("utf-8")
    assert text.startswith(f"before\n{begin}\n| engine |")
    assert text.endswith(f"\n{end}after\n")
    assert "stale" not in text
    assert "| other 2.0 | SQLite | 0 of 0 | 0 of 0 | 0 of 0 |" in text


@pytest.mark.requirement("sql:bench:corpus")
def test_the_line_that_the_docs_add_is_an_attack(ground: Ground) -> None:
    page = (ROOT / "docs" / "read-only.md").read_text("utf-8")
    line = page.split("```text\n")[1].split("```")[0]
    (case,) = [case for case in parse_cases("docs", line, tuple(CLASSES)) if case.engine == ground.engine]

    assert try_attack(ground, case, ground.bare).harm is Harm.TELLS
    assert try_attack(ground, case, ground.confined, Harm.TELLS).harm is None
