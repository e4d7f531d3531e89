"""Do `sandbox lint` and `sandbox new tool` tell what they must, with their exit codes?"""

import json
from pathlib import Path

import apsw
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from sandbox.cli import lint, new
from sandbox.deployment import Deployment, Misconfigured
from sandbox.policy import STARTER_POLICY
from sandbox.problems import LintFailed
from sandbox.settings import read_settings

GOOD = Path(__file__).parents[2] / "fixtures" / "specs" / "good"
APP = typer.Typer()
APP.command("lint")(lint.lint)
APP.add_typer(new.app, name="new")


@pytest.fixture
def house(deployment: Deployment) -> Deployment:
    """A deployment with a real database."""
    root = deployment.root
    database = apsw.Connection(str(root / "data" / "shop.db"))
    database.execute(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, region TEXT, cents INTEGER, placed_on TEXT);"
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);"
    )
    database.close()
    deployment.settings.write_text("[sql]\nmax_tokens = 1000\n")
    deployment.policies.mkdir()
    (deployment.policies / "all.cedar").write_text(STARTER_POLICY)
    (deployment.toolspecs / "design.yaml").write_bytes((GOOD / "design.yaml").read_bytes())
    return deployment


def run(house: Deployment, *arguments: str) -> Result:
    return CliRunner().invoke(APP, [*arguments, "--deployment", str(house.root)])


@pytest.mark.requirement("specs:lint:command")
def test_a_good_deployment(house: Deployment) -> None:
    told = run(house, "lint")
    assert (told.exit_code, told.output) == (0, "no problems in 4 files; tools without a problem: 1\n")
    as_json = run(house, "lint", "--json")
    assert as_json.exit_code == 0
    assert json.loads(as_json.output) == {
        "ok": True, "problems": [], "files": 4, "tools": ["shop.query"], "without_examples": []
    }  # fmt: skip


@pytest.mark.requirement("specs:lint:command")
def test_a_spec_without_examples_is_no_problem_and_proves_nothing(house: Deployment) -> None:
    spec = (house.toolspecs / "design.yaml").read_text()
    (house.toolspecs / "design.yaml").write_text(spec[: spec.index("examples:")])

    told = run(house, "lint")
    assert told.exit_code == 0
    assert "note: shop.query has no `examples`, so `sandbox test` proves nothing of it yet\n" in told.output
    assert json.loads(run(house, "lint", "--json").output)["without_examples"] == ["shop.query"]


@pytest.mark.requirement("specs:lint:command")
def test_a_file_is_told_what_is_linted(house: Deployment) -> None:
    with pytest.raises(Misconfigured, match=r"^`design.yaml`: a whole deployment is linted, the folder that"):
        lint.lint(one="design.yaml", deployment=house.root)
    with pytest.raises(Misconfigured, match=": not a folder; a whole deployment is linted"):
        lint.lint(deployment=house.settings)


@pytest.mark.requirement("specs:lint:command")
def test_settings_connections_and_specs_are_told_in_one_pass(house: Deployment) -> None:
    house.settings.write_text("[sql]\nmax_tokens = 0\n")
    house.connections.write_text(house.connections.read_text() + "[more]\n")
    (house.toolspecs / "bad.yaml").write_text("spec: tool/v2\n")
    told = run(house, "lint", "--json")
    assert told.exit_code == 1
    found = json.loads(told.output)
    assert found["ok"] is False
    assert {problem["file"] for problem in found["problems"]} == {
        "sandbox.toml",
        "connections.toml",
        "toolspecs/bad.yaml",
    }
    assert found["tools"] == ["shop.query"]
    text = run(house, "lint")
    assert text.exit_code == 1
    assert "toolspecs/bad.yaml:1:7: unknown value `tool/v2`; did you mean `tool/v1`?\n    [spec/value]\n" in text.output
    assert max(map(len, text.output.splitlines())) <= 80
    assert "    1 | spec: tool/v2\n              ^\n" in text.output
    assert text.output.endswith("policies are checked once connections and specs have no problem\n")


@pytest.mark.requirement("specs:connections:absent")
def test_a_database_that_does_not_exist_is_told_once_where_its_path_stands(house: Deployment) -> None:
    house.connections.write_text(house.connections.read_text().replace("data/shop.db", "data/shp.db"))
    design = (house.toolspecs / "design.yaml").read_text()
    (house.toolspecs / "more.yaml").write_text(design.replace("shop.query", "shop.more"))
    told = run(house, "lint", "--json")
    found = json.loads(told.output)
    (problem,) = found["problems"]
    assert (told.exit_code, found["tools"]) == (1, [])
    assert (problem["file"], problem["line"], problem["rule"]) == ("connections.toml", 3, "connection/path")
    assert problem["message"] == "the database file `data/shp.db` of connection `shop` does not exist"


@pytest.mark.requirement("specs:lint:command")
def test_policies_are_linted_against_the_specs(house: Deployment) -> None:
    (house.policies / "bad.cedar").write_text('permit (principal, action == Action::"Nothing", resource);\n')
    told = run(house, "lint", "--json")
    assert told.exit_code == 1
    assert {problem["file"] for problem in json.loads(told.output)["problems"]} == {"policies/bad.cedar"}


@pytest.mark.requirement("specs:lint:command")
@pytest.mark.parametrize("missing", ["sandbox.toml", "connections.toml"])
def test_what_is_no_deployment_is_no_lint_problem(house: Deployment, missing: str) -> None:
    (house.root / missing).unlink()
    told = run(house, "lint")
    assert isinstance(told.exception, Misconfigured), "the command line answers it with exit code 2"
    assert not isinstance(told.exception, LintFailed)


@pytest.mark.requirement("specs:new:passes-lint")
def test_new_tool_from_a_live_table(house: Deployment) -> None:
    told = run(house, "new", "tool", "--connection", "shop", "--table", "orders")
    assert told.exit_code == 0
    out = house.toolspecs / "orders.yaml"
    written = run(house, "new", "tool", "--connection", "shop", "--table", "orders", "--out", str(out))
    assert written.exit_code == 0
    assert out.read_text() == told.output
    assert run(house, "lint").exit_code == 0
    again = run(house, "new", "tool", "--connection", "shop", "--table", "customers", "--out", str(out))
    assert isinstance(again.exception, Misconfigured)
    assert out.read_text() == told.output, "never overwritten"


@pytest.mark.requirement("specs:new:draft")
def test_new_tool_says_whether_it_is_offered_already(house: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(house.root)
    words = ("new", "tool", "--connection", "shop", "--table", "orders", "--out")
    draft = " ".join(run(house, *words, "draft.yaml").output.split())
    live = " ".join(run(house, *words, "toolspecs/orders.yaml").output.split())
    assert "nobody is offered it yet; next: narrow its columns, move it into toolspecs/" in draft
    assert "tool shop.orders; a running service offers it from now on, with every column listed" in live


@pytest.mark.requirement("specs:new:passes-lint")
def test_new_tool_as_json(house: Deployment) -> None:
    told = run(house, "new", "tool", "--connection", "shop", "--table", "customers", "--name", "people", "--json")
    found = json.loads(told.output)
    assert (found["name"], found["file"]) == ("people", "")
    assert found["spec"].startswith("# yaml-language-server")


@pytest.mark.requirement("specs:lint:settings")
def test_every_wrong_setting_is_told_with_its_line(house: Deployment) -> None:
    house.settings.write_text(
        '# ours\n[server]\nthreds = 5\nlisten = 7\n\n[limit]\nwindow_seconds = 1\n\n[sql]\n"max_depth" = 1000\n'
    )
    found = json.loads(run(house, "lint", "--json").output)["problems"]
    assert [(problem["line"], problem["message"]) for problem in found] == [
        (3, "unknown setting `server.threds`; did you mean `threads`?"),
        (4, '`server.listen`: `7` stands there; a text in quotes is accepted, such as `"127.0.0.1:7443"`'),
        (6, "unknown setting `limit`; did you mean `limits`?"),
        (10, "`sql.max_depth`: `1000` stands there; at most 100 is accepted"),
    ]
    assert {problem["file"] for problem in found} == {"sandbox.toml"}


@pytest.mark.requirement("specs:lint:settings")
@pytest.mark.parametrize(
    ("source", "line"), [(b"[server]\nlisten = \n", 2), (b"a = '\xff'\n", 0), (b"#" * 300_000, 0), (b"x.y.z = 1", 1)]
)
def test_settings_that_cannot_be_read_are_a_problem(house: Deployment, source: bytes, line: int) -> None:
    house.settings.write_bytes(source)
    told = run(house, "lint", "--json")
    assert told.exit_code == 1
    assert [problem["line"] for problem in json.loads(told.output)["problems"]] == [line]
    assert str(house.root) not in told.output


@pytest.mark.requirement("specs:lint:settings-words")
@pytest.mark.parametrize(
    ("source", "place", "key", "sentence"),
    [
        ("[server]\nthreds = 5\n", ":2", "", "unknown setting `server.threds`; did you mean `threads`?"),
        ("[sql]\n\nmax_depth = true\n", ":3", "sql.max_depth", "`true`; an integer is accepted, such as `60`"),
        ("[identity]\ncache_seconds = nan\n", ":2", "identity.cache_seconds", "`nan`; at most 60 is accepted"),
        (
            "[identity]\ncache_seconds = '2'\n",
            ":2",
            "identity.cache_seconds",
            "`2`; a number is accepted, such as `2.0`",
        ),
        ("[log]\norigin = 'a b'\n", ":2", "log.origin", r"`a b`; a text that fits `^[^\s+]+$` is accepted"),
        ("[log]\norigin = ''\n", ":2", "log.origin", "``; a text of at least 1 character is accepted"),
        ("server = 5\n", ":1", "server", "`5`; a section `[server]` is accepted"),
        (
            "[log.origin]\n",
            "",
            "log.origin",
            'a section; a text in quotes is accepted, such as `"sandbox.example/log"`',
        ),
        ("[server\n", ":1", "", "not TOML: Expected ']' at the end of a table declaration"),
    ],
)
def test_lint_and_every_other_command_tell_of_settings_alike(
    house: Deployment, source: str, place: str, key: str, sentence: str
) -> None:
    if key:
        sentence = f"`{key}`: {sentence.replace(';', ' stands there;', 1)}"
    house.settings.write_text(source)
    (linted,) = json.loads(run(house, "lint", "--json").output)["problems"]
    with pytest.raises(Misconfigured) as read:
        read_settings(house.settings)
    assert (str(read.value), linted["message"]) == (f"{house.settings}{place}: {sentence}", sentence)


@pytest.mark.requirement("specs:new:wrong-flags")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("shp", "orders"), "`connections.toml` has no connection `shp`; did you mean `shop`?"),
        (("shop", "ordrs"), "connection `shop` has no table `ordrs` within its ceiling; did you mean `orders`?"),
    ],
)
def test_new_tool_of_what_is_not_there(house: Deployment, words: tuple[str, str], message: str) -> None:
    told = run(house, "new", "tool", "--connection", words[0], "--table", words[1])
    assert isinstance(told.exception, Misconfigured), "the command line answers it with exit code 2"
    assert not isinstance(told.exception, LintFailed)
    assert str(told.exception) == message
