"""Is `connections.toml` read as the operators wrote it, and everything wrong in it told?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.deployment import Deployment, Misconfigured
from sandbox.problems import LintFailed, Problem
from sandbox.settings import Settings, VaultSettings
from sandbox.specs import lint_connections, read_connections
from sandbox.specs.ceilings import CEILING_SENTENCE
from sandbox.toolspec import (
    EnvSecret,
    FileSecret,
    FileTarget,
    ServerTarget,
    SqlCeiling,
    VaultSecret,
    VaultServer,
)

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
    assert shop.ceiling == SqlCeiling({"orders": None, "customers": None})
    assert connections["gone"].ceiling == SqlCeiling(None)
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
            '[a]\nengine = "mysql"\ndsn = {env = "A"}\npath = "x"\nceiling = {tables = ["t"]}\n',
            (4, 1, "connection/unknown-key"),
            "a `mysql` connection has no `path`; it needs a `dsn`",
        ),
        ('[a]\nengine = "sqlit"\n', (2, 1, "connection/value"), "unknown engine `sqlit`; did you mean `sqlite`?"),
        (
            "[a]\n",
            (1, 2, "connection/value"),
            "connection `a` needs an `engine`; accepted: `sqlite`, `postgres`, `duckdb`, `mysql`, `http`",
        ),
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
            "unknown key `row` in a ceiling; accepted: `tables`, `tools`",
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


NO_VAULT = "lies in a vault, and `vault.address` of sandbox.toml says none; `https://HOST:PORT` is accepted"
NO_REFERENCE = (
    "`vault` takes the path of an entry and one field of it; `PATH#FIELD`, such as `secret/data/crm#token`, is accepted"
)
DSN_ACCEPTED = '`dsn = {env = "NAME"}`, `{file = "secrets/a.dsn"}` or `{vault = "secret/data/a#dsn"}`'


@pytest.mark.requirement("specs:connections:dsn")
@pytest.mark.parametrize(
    ("line", "rule", "message"),
    [
        ("", "connection/value", f"connection `a` needs a `dsn`; {DSN_ACCEPTED} is accepted"),
        (
            'dsn = "postgresql://u:hunter2@h/d"',
            "connection/value",
            f"the dsn of `a` stands here in plain text; {DSN_ACCEPTED} keeps the secret out of this file",
        ),
        ("dsn = 5", "connection/value", f"the dsn of `a` does not say where it lies; {DSN_ACCEPTED} is accepted"),
        (
            'dsn = {env = "hunter2", file = "b"}',
            "connection/value",
            f"the dsn of `a` does not say where it lies; {DSN_ACCEPTED} is accepted",
        ),
        (
            'dsn = {evn = "hunter2"}',
            "connection/value",
            "the dsn of `a` lies in `evn`; did you mean `env`?",
        ),
        (
            'dsn = {vault = "hunter2"}',
            "connection/value",
            f"the dsn of `a`: {NO_REFERENCE}",
        ),
        (
            'dsn = {vault = "secret/data/hunter2#dsn"}',
            "connection/value",
            f"the dsn of `a` {NO_VAULT}",
        ),
        (
            'dsn = {env = "hunter 2"}',
            "connection/value",
            "the dsn of `a`: `env` takes the name of a variable; letters, digits and `_` are accepted",
        ),
        (
            'dsn = {file = ""}',
            "connection/value",
            "the dsn of `a`: `file` takes the path of a file, relative to the deployment or absolute",
        ),
        (
            'dsn = {file = "open.dsn"}',
            "connection/value",
            "the dsn of `a`: the file `open.dsn` has mode 0644, which lets others read it; only 0600 is accepted",
        ),
    ],
    ids=range(10),
)
def test_what_is_wrong_with_a_dsn_is_told_without_it(
    line: str, rule: str, message: str, told: Told, tmp_path: Path
) -> None:
    (tmp_path / "open.dsn").write_text("hunter2")
    (tmp_path / "open.dsn").chmod(0o644)
    (problem,) = told(f'[a]\nengine = "postgres"\nceiling = {{tables = "all"}}\n{line}\n')

    assert (problem.line, problem.rule, problem.message) == (4 if line else 1, rule, message)
    assert "hunter2" not in problem.render()


@pytest.mark.requirement("specs:connections:dsn")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'engine = "postgres"\npath = "a.db"\ndsn = {env = "X"}',
            "a `postgres` connection has no `path`; it needs a `dsn`",
        ),
        (
            'engine = "sqlite"\ndsn = "u:hunter2@h"\npath = "a.db"',
            "a `sqlite` connection has no `dsn`; it needs a `path`",
        ),
    ],
    ids=["path", "dsn"],
)
def test_the_other_engine_s_key_is_refused(text: str, message: str, told: Told) -> None:
    (problem,) = told(f'[a]\n{text}\nceiling = {{tables = "all"}}\n')

    assert (problem.rule, problem.message) == ("connection/unknown-key", message)
    assert "hunter2" not in problem.render()


@pytest.mark.requirement("specs:connections:dsn")
def test_a_server_s_connection_is_read(deployment: Deployment) -> None:
    sources = [
        '{env = "LEDGER_DSN"}',
        '{env = "OTHER_DSN"}',
        '{file = "secrets/ledger.dsn"}',
        '{file = "/x/ledger.dsn"}',
    ]
    read = []
    for source in sources:
        deployment.connections.write_text(
            f'[a]\nengine = "postgres"\ndsn = {source}\nceiling = {{tables = ["public.t"]}}\n'
        )
        read.append(read_connections(deployment)["a"])

    assert [one.target for one in read] == [
        ServerTarget(EnvSecret("LEDGER_DSN")),
        ServerTarget(EnvSecret("OTHER_DSN")),
        ServerTarget(FileSecret(str(deployment.root / "secrets" / "ledger.dsn"))),
        ServerTarget(FileSecret("/x/ledger.dsn")),
    ]
    assert len({one.digest for one in read}) == 4
    assert {one.engine for one in read} == {"postgres"}


WITHOUT = '[a]\nengine = "postgres"\ndsn = {env = "X"}\nceiling = {tables = "all"}\n'


@pytest.mark.requirement("specs:connections:without-revokes")
def test_that_the_gate_alone_confines_functions_is_said_openly_and_in_the_digest(deployment: Deployment) -> None:
    read = []
    for line in ("", "without_revokes = false", "without_revokes = true"):
        deployment.connections.write_text(WITHOUT + line)
        read.append(read_connections(deployment)["a"])

    assert [one.target for one in read] == [
        ServerTarget(EnvSecret("X")),
        ServerTarget(EnvSecret("X")),
        ServerTarget(EnvSecret("X"), without_revokes=True),
    ]
    assert read[0].digest == read[1].digest != read[2].digest


@pytest.mark.requirement("specs:connections:without-revokes")
def test_what_does_not_say_so_plainly_is_refused(told: Told) -> None:
    (problem,) = told(WITHOUT + 'without_revokes = "true"\n')
    assert (problem.line, problem.rule) == (5, "connection/value")
    assert "neither `true` nor `false`" in problem.message

    (problem,) = told('[a]\nengine = "sqlite"\npath = "a.db"\nceiling = {tables = "all"}\nwithout_revokes = true\n')
    assert (problem.line, problem.rule) == (5, "connection/unknown-key")


VAULT = '[a]\nengine = "postgres"\ndsn = {vault = "REFERENCE"}\nceiling = {tables = "all"}\n'


def vault_read(deployment: Deployment, reference: str, **vault: str) -> tuple[object, list[str]]:
    deployment.connections.write_text(VAULT.replace("REFERENCE", reference))
    found = lint_connections(deployment, Settings(vault=VaultSettings(**vault)))
    target = found.connections["a"].target if "a" in found.connections else None
    return target, [problem.message for problem in found.findings.problems]


@pytest.mark.requirement("specs:connections:vault")
def test_a_reference_into_a_vault_is_read_with_the_server_of_the_settings(deployment: Deployment) -> None:
    target, told = vault_read(deployment, "secret/data/ledger#dsn", address="https://Vault.example:8200", ca="v.pem")

    assert told == []
    secrets = deployment.root / "secrets"
    assert target == ServerTarget(
        VaultSecret(
            VaultServer(
                scheme="https",
                host="vault.example",
                port=8200,
                namespace="",
                approle="approle",
                role_id=str(secrets / "vault-role-id"),
                secret_id=str(secrets / "vault-secret-id"),
                ca=str(deployment.root / "v.pem"),
            ),
            "secret/data/ledger",
            "dsn",
        )
    )


@pytest.mark.requirement("specs:connections:vault")
@pytest.mark.parametrize(
    "reference",
    [
        "x#y",
        "secret/data/a",
        "/secret/a#b",
        "secret//a#b",
        "secret/../a#b",
        "secret/a?version=1#b",
        "secret/a#",
        "a/b#é",
    ],
)
def test_a_reference_that_is_no_path_with_a_field_is_refused(reference: str, deployment: Deployment) -> None:
    target, (told,) = vault_read(deployment, reference, address="https://vault.example")

    assert target is None
    assert "takes the path of an entry and one field of it" in told
    assert reference not in told


@pytest.mark.requirement("specs:connections:vault")
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://vault.example:8200", "plain HTTP to another machine"),
        ("http://localhost:8200", "plain HTTP to another machine"),
        ("http://10.0.0.1", "plain HTTP to another machine"),
        ("https://0177.1", "host that readers dispute"),
        ("https://vault.example:99999", "is no URL"),
    ],
)
def test_a_vault_is_asked_over_tls_or_on_this_machine(address: str, told: str, deployment: Deployment) -> None:
    target, (complaint,) = vault_read(deployment, "secret/data/a#dsn", address=address)

    assert target is None
    assert told in complaint
    assert vault_read(deployment, "secret/data/a#dsn", address="http://127.0.0.1:8200")[1] == []


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
