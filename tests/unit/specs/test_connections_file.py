"""Is `connections.toml` read as the operators wrote it, and everything wrong in it told?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.deployment import Deployment, Misconfigured
from sandbox.problems import LintFailed, Problem
from sandbox.specs import lint_connections, read_connections
from sandbox.specs.connections import CEILING_SENTENCE
from sandbox.toolspec import FileTarget

Told = Callable[[str], tuple[Problem, ...]]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    def lint(text: str) -> tuple[Problem, ...]:
        (tmp_path / "connections.toml").write_text(text)
        return LintFailed(lint_connections(Deployment(tmp_path)).findings.problems).problems

    return lint


@pytest.mark.requirement("specs:connections:ceiling")
def test_connections_are_read(deployment: Deployment) -> None:
    connections = read_connections(deployment)
    shop = connections["shop"]
    assert (shop.engine, shop.target) == ("sqlite", FileTarget(str(deployment.root / "data" / "shop.db")))
    assert shop.ceiling_tables == frozenset({"orders", "customers"})
    assert connections["gone"].ceiling_tables is None
    assert shop.digest != connections["gone"].digest


@pytest.mark.requirement("specs:connections:digest")
def test_the_digest_follows_path_and_ceiling(deployment: Deployment) -> None:
    before = read_connections(deployment)["shop"].digest
    text = deployment.connections.read_text()
    deployment.connections.write_text(text.replace('"customers"', '"ledger"'))
    narrowed = read_connections(deployment)["shop"].digest
    deployment.connections.write_text(text.replace("data/shop.db", "data/other.db"))
    moved = read_connections(deployment)["shop"].digest
    assert len({before, narrowed, moved}) == 3
    deployment.connections.write_text("# a comment\n" + text)
    assert read_connections(deployment)["shop"].digest == before


@pytest.mark.requirement("specs:connections:ceiling")
def test_an_absolute_path_stays(tmp_path: Path, deployment: Deployment) -> None:
    path = tmp_path / "elsewhere" / "a.db"
    deployment.connections.write_text(f'[a]\nengine = "sqlite"\npath = "{path}"\nceiling = {{tables = "all"}}\n')
    assert read_connections(deployment)["a"].target == FileTarget(str(path))


GOOD = 'engine = "sqlite"\npath = "a.db"\nceiling = {tables = ["t"]}\n'


@pytest.mark.requirement("specs:connections:lint")
@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (
            '[a]\nengine = "sqlite"\npath = "a.db"\n',
            (1, 2, "connection/ceiling"),
            f"connection `a` has no ceiling; {CEILING_SENTENCE} is required",
        ),
        (
            '[a]\nengine = "sqlite"\npath = "a.db"\nceiling = {tables = []}\n',
            (4, 1, "connection/ceiling"),
            f"the ceiling of `a` names no tables; {CEILING_SENTENCE} is accepted",
        ),
        (
            '[a]\nengine = "postgres"\ndsn = {env = "X"}\nceiling = {tables = ["t"]}\n',
            (2, 1, "connection/not-built"),
            "engine `postgres` is not built yet in this version; accepted: `sqlite`, `http`",
        ),
        ('[a]\nengine = "sqlit"\n', (2, 1, "connection/value"), "unknown engine `sqlit`; did you mean `sqlite`?"),
        ("[a]\n", (1, 2, "connection/value"), "connection `a` needs an `engine`; accepted: `sqlite`, `http`"),
        (
            "[a]\npaht = 1\n" + GOOD,
            (2, 1, "connection/unknown-key"),
            "unknown key `paht` in a connection; did you mean `path`?",
        ),
        (
            '[a]\nengine = "sqlite"\npath = 5\nceiling = {tables = "all"}\n',
            (3, 1, "connection/value"),
            "connection `a` needs a `path`: the database file, relative to the deployment or absolute",
        ),
        (
            '[a]\nengine = "sqlite"\npath = "a.db"\nceiling = {tables = "all", row = 1}\n',
            (4, 1, "connection/unknown-key"),
            "unknown key `row` in a ceiling; accepted: `tables`",
        ),
        ("engine = 1\n", (1, 1, "connection/value"), "`engine` is no table; `[engine]` is accepted"),
        (
            f'["a b"]\n{GOOD}',
            (1, 3, "connection/value"),
            "connection name `a b`; accepted: 1 to 64 letters, digits, `_` and `-`",
        ),
        ("[a\n", (1, 3, "connection/toml"), "not TOML: Expected ']' at the end of a table declaration"),
        (f"[a]\n{GOOD}[a]\n{GOOD}", (5, 3, "connection/toml"), "not TOML: Cannot declare ('a',) twice"),
    ],
    ids=range(12),
)
def test_what_is_wrong_is_told_where(text: str, place: tuple[int, int, str], message: str, told: Told) -> None:
    (problem,) = told(text)
    assert ((problem.line, problem.column, problem.rule), problem.message) == (place, message)


@pytest.mark.requirement("specs:connections:lint")
def test_every_broken_connection_is_told_at_once(told: Told) -> None:
    assert {problem.line for problem in told(f"[a]\nx = 1\n{GOOD}[b]\n[c]\ny = 1\n{GOOD}")} == {2, 6, 8}


@pytest.mark.requirement("specs:connections:lint")
@pytest.mark.parametrize("source", [b"\xff", b"#" * (256 * 1024 + 1), b"a = " + b"[" * 50_000])
def test_what_is_no_toml_is_a_problem(source: bytes, deployment: Deployment) -> None:
    deployment.connections.write_bytes(source)
    with pytest.raises(LintFailed) as failed:
        read_connections(deployment)
    assert failed.value.problems[0].rule == "connection/toml"


@pytest.mark.requirement("specs:connections:lint")
def test_a_missing_file_is_no_lint_problem(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read") as error:
        read_connections(Deployment(tmp_path))
    assert not isinstance(error.value, LintFailed)
