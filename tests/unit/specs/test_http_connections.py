"""Does a connection of engine `http` say where it leads and how far, and nothing that readers dispute?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.deployment import Deployment
from sandbox.problems import Problem
from sandbox.specs import SpecsRead, lint_connections
from sandbox.specs.urls import host_of
from sandbox.toolspec import (
    Argument,
    Connection,
    EnvSecret,
    FileSecret,
    HttpAuth,
    HttpCeiling,
    HttpTarget,
    OAuth,
    ToolSpec,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "specs"
SECRET = "s3cret-0451"
CEILING = 'ceiling = {methods = ["GET"], paths = ["/v1/*"]}'


def read(root: Path, text: str) -> tuple[Connection | None, list[str]]:
    """Return the connection and the problems of one table."""
    (root / "connections.toml").write_text(f'[crm]\nengine = "http"\n{text}\n')
    found = lint_connections(Deployment(root))
    told = [f"{p.line}:{p.column} {p.rule} {p.message} {p.render()}" for p in found.findings.problems]
    return found.connections.get("crm"), told


def target_of(root: Path, text: str) -> HttpTarget:
    connection, told = read(root, text)
    assert told == []
    assert connection is not None
    assert connection.engine == "http"
    assert isinstance(connection.target, HttpTarget)
    return connection.target


@pytest.mark.requirement("specs:http:connection")
def test_everything_a_connection_may_say_is_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    target = target_of(
        tmp_path,
        'base_url = "https://CRM.example.com:8443/api/v2/"\nauth = {bearer = {file = "secrets/crm"}}\n'
        'networks = ["10.1.0.0/16", "fd00::/8", "192.0.2.7"]\nca = "ca.pem"\n'
        'ceiling = {methods = ["GET", "POST"], paths = ["/customers/*", "/notes/**", "/"]}',
    )

    assert (target.origin, target.prefix, target.authority) == (
        "https://crm.example.com:8443", "/api/v2", "crm.example.com:8443"
    )  # fmt: skip
    assert target.auth == HttpAuth("Authorization", "Bearer ", FileSecret(str(tmp_path / "secrets" / "crm")))
    assert target.networks == ("10.1.0.0/16", "fd00::/8", "192.0.2.7/32")
    assert target.ca == str(tmp_path / "ca.pem")
    assert target.ceiling == HttpCeiling(
        frozenset({"GET", "POST"}), (("customers", "*"), ("notes", "**"), ("",))
    )  # fmt: skip


@pytest.mark.requirement("specs:http:connection")
@pytest.mark.parametrize(
    ("url", "origin", "port"),
    [
        ("https://crm.example.com", "https://crm.example.com", 443),
        ("https://crm.example.com:443/", "https://crm.example.com", 443),
        ("https://my_service", "https://my_service", 443),
        ("https://[2A00:DB8::7]:8443", "https://[2a00:db8::7]:8443", 8443),
        ("https://192.1.2.7", "https://192.1.2.7", 443),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", 443),
        ("http://crm.example.com", "http://crm.example.com", 80),
    ],
)
def test_base_urls_are_read(url: str, origin: str, port: int, tmp_path: Path) -> None:
    target = target_of(tmp_path, f'base_url = "{url}"\nallow_plain = true\n{CEILING}')

    assert (target.origin, target.port, target.auth, target.networks) == (origin, port, None, ())


@pytest.mark.requirement("specs:http:connection")
@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7F.1", "0177.0.0.1", "127.1", "127.0.0.01", "1.2.3.4.5",
        "example.0x10", "999.1.1.1",
        "127.0.0.1.", "crm.example.com.", "crm..example", "-crm.example", "crm .example", "fe80::1%eth0",
        "::ffff:1.2.3.4%1",
        "[::1]", "127\u30020\u30020\u30021",
        "\uff11\uff12\uff17.0.0.1", "\u24dbocalhost", "a" * 64, "", ".", "*",
    ],
)  # fmt: skip
def test_a_host_that_readers_dispute_is_none(host: str) -> None:
    assert host_of(host) is None


WRONG = {
    "no-url": (CEILING, "needs a `base_url`"),
    "login": (f'base_url = "https://crm:{SECRET}@example.com"\n{CEILING}', "holds a login"),
    "login-of-none": (f'base_url = "ftp://{SECRET}@example.com"\nceiling = {{}}', "names no paths"),
    "beside-a-secret": (
        f'base_url = "x"\nauth = {{header = "{SECRET}", value = "{SECRET}"}}\nverify = 1',
        "unknown key",
    ),
    "query": (f'base_url = "https://example.com/?a=b"\n{CEILING}', "holds a query"),
    "fragment": (f'base_url = "https://example.com/#a"\n{CEILING}', "holds a query"),
    "encoded": (f'base_url = "https://example.com/%2e%2e"\n{CEILING}', "only encoded"),
    "backslash": (f'base_url = "https://example.com\\\\@evil.example"\n{CEILING}', "only encoded"),
    "tab": (f'base_url = "https://exam\\tple.com"\n{CEILING}', "only encoded"),
    "zone": (f'base_url = "https://[fe80::1%25eth0]"\n{CEILING}', "only encoded"),
    "no-bracket": (f'base_url = "https://[::1"\n{CEILING}', "is no URL"),
    "port": (f'base_url = "https://example.com:99999"\n{CEILING}', "is no URL"),
    "port-0": (f'base_url = "https://example.com:0"\n{CEILING}', "host that readers dispute"),
    "scheme": (f'base_url = "ftp://example.com"\n{CEILING}', "is no address of HTTP"),
    "no-scheme": (f'base_url = "example.com"\n{CEILING}', "is no address of HTTP"),
    "octal": (f'base_url = "https://0177.0.0.1"\n{CEILING}', "host that readers dispute"),
    "moving": (f'base_url = "https://example.com/a/../b"\n{CEILING}', "empty or moving segments"),
    "plain": (f'base_url = "http://example.com"\n{CEILING}', "openly `allow_plain = true`"),
    "plain-text": (f'base_url = "http://example.com"\nallow_plain = "yes"\n{CEILING}', "`true` or left out"),
    "ca-of-plain": (
        f'base_url = "http://a.example"\nallow_plain = true\nca = "c"\n{CEILING}',
        "`ca` is for `https://`",
    ),
    "no-ca": (f'base_url = "https://a.example"\nca = "gone.pem"\n{CEILING}', "there is no file `gone.pem`"),
    "ca-number": (f'base_url = "https://a.example"\nca = 5\n{CEILING}', "is the path of a PEM file"),
    "loopback": (f'base_url = "https://127.0.0.1"\n{CEILING}', '`networks = ["127.0.0.1"]` names it openly'),
    "mapped": (
        f'base_url = "https://[::ffff:169.254.169.254]"\n{CEILING}',
        ', "169.254.169.254"]` names it openly',
    ),
    "private": (f'base_url = "https://10.1.2.3:8443"\n{CEILING}', "`base_url` leads to 10.1.2.3, which is not public"),
    "not-in-networks": (
        f'base_url = "https://10.1.2.3"\nnetworks = ["10.2.0.0/16"]\n{CEILING}',
        "`base_url` leads to 10.1.2.3, which is not in `networks`",
    ),
    "no-ceiling": ('base_url = "https://a.example"', "has no ceiling"),
    "ceiling-of-tables": (
        'base_url = "https://a.example"\nceiling = {tables = "all"}',
        "unknown key `tables` in a ceiling",
    ),
    "no-methods": ('base_url = "https://a.example"\nceiling = {paths = "all"}', "names no methods"),
    "no-paths": ('base_url = "https://a.example"\nceiling = {methods = "all", paths = []}', "names no paths"),
    "method": (
        'base_url = "https://a.example"\nceiling = {methods = ["get"], paths = "all"}',
        "unknown method `get` in a ceiling",
    ),
    "half-star": (
        'base_url = "https://a.example"\nceiling = {methods = "all", paths = ["/a*"]}',
        "path `/a*` in a ceiling",
    ),
    "inner-stars": ('base_url = "https://a.example"\nceiling = {methods = "all", paths = ["/**/a"]}', "path `/**/a`"),
    "dots": ('base_url = "https://a.example"\nceiling = {methods = "all", paths = ["/a/.."]}', "path `/a/..`"),
    "relative": ('base_url = "https://a.example"\nceiling = {methods = "all", paths = ["a"]}', "path `a` in a ceiling"),
    "network": (f'base_url = "https://a.example"\nnetworks = ["10.1.2.3/16"]\n{CEILING}', "network `10.1.2.3/16`"),
    "no-network": (f'base_url = "https://a.example"\nnetworks = []\n{CEILING}', "`networks` names nothing"),
    "networks-text": (f'base_url = "https://a.example"\nnetworks = "all"\n{CEILING}', "`networks` names nothing"),
    "secret": (
        f'base_url = "https://a.example"\nauth = {{bearer = "{SECRET}"}}\n{CEILING}',
        "a secret stands in no connection",
    ),
    "secret-as-name": (
        f'base_url = "https://a.example"\nauth = {{bearer = {{env = "{SECRET}"}}}}\n{CEILING}',
        "where it lies",
    ),
    "auth-text": (f'base_url = "https://a.example"\nauth = "{SECRET}"\n{CEILING}', "`auth` is something else"),
    "auth-header": (
        f'base_url = "https://a.example"\nauth = {{header = "Host", value = {{env = "A"}}}}\n{CEILING}',
        "`header` cannot carry a secret",
    ),
    "cookie": (
        f'base_url = "https://a.example"\nauth = {{header = "cookie", value = {{env = "A"}}}}\n{CEILING}',
        "`header` cannot carry a secret",
    ),
    "key": (f'base_url = "https://a.example"\nverify = false\n{CEILING}', "unknown key `verify`"),
    "path": (f'base_url = "https://a.example"\npath = "a.db"\n{CEILING}', "unknown key `path`"),
}


@pytest.mark.requirement("specs:http:connection")
@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_and_no_secret_with_it(text: str, message: str, tmp_path: Path) -> None:
    connection, told = read(tmp_path, text)

    assert connection is None
    assert any(message in each for each in told), told
    assert all(each.partition(":")[0].isdigit() for each in told)
    assert SECRET not in "".join(told)


@pytest.mark.requirement("specs:http:connection")
def test_the_digest_follows_every_fact_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = 'base_url = "https://a.example"\nauth = {bearer = {env = "A"}}\nnetworks = ["10.0.0.0/8"]\n' + CEILING
    changes = [
        ("", ""), ("a.example", "b.example"), ('"A"', '"B"'), ("10.0.0.0/8", "10.1.0.0/16"), ("GET", "HEAD"),
        ("/v1/*", "/v1/**"),
        ("a.example", "a.example:444"), ("a.example", "a.example/x"),
    ]  # fmt: skip
    digests = []
    for before, after in changes:
        connection, _ = read(tmp_path, base.replace(before, after) if before else base)
        assert connection is not None
        digests.append(connection.digest)
    monkeypatch.setenv("A", "another")
    again, _ = read(tmp_path, base)

    assert len(set(digests)) == len(changes)
    assert again is not None
    assert again.digest == digests[0]


@pytest.mark.requirement("specs:http:ceiling")
@pytest.mark.parametrize(
    "header",
    [
        *("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "X-Original-URL", "X-Rewrite-URL"),
        *("X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "X-Original-Method"),
    ],
)
def test_a_header_that_targets_take_for_another_request_is_not_the_specs_to_write(
    problems: Callable[[str], tuple[Problem, ...]], header: str
) -> None:
    """The attack: `POST` within the ceiling, which the target takes for `DELETE`."""
    spec = (FIXTURES / "good" / "http_read.yaml").read_text("utf-8")
    assert not problems(spec)
    (problem,) = problems(spec.replace("Accept-Language: en", f"{header}: DELETE"))
    assert problem.message.startswith(f"header `{header}` is not the spec's to write")


@pytest.mark.requirement("specs:http:ceiling")
@pytest.mark.parametrize("header", ["Accept-Language", "X-Request-Id", "Prefer", "X-Method-Of-Payment"])
def test_other_headers_are(problems: Callable[[str], tuple[Problem, ...]], header: str) -> None:
    spec = (FIXTURES / "good" / "http_read.yaml").read_text("utf-8")
    assert not problems(spec.replace("Accept-Language: en", f"{header}: x"))


PATTERNS = HttpCeiling(frozenset({"GET"}), (("v1", "customers", "*"), ("v1", "notes", "**"), ("v1", "fixed")))


@pytest.mark.requirement("specs:http:ceiling")
@pytest.mark.parametrize(
    ("path", "is_within"),
    [
        (("v1", "customers", Argument("id")), True),
        (("v1", "customers", "7"), True),
        (("v1", "notes", "a"), True),
        (("v1", "notes", "a", Argument("id"), "c"), True),
        (("v1", "fixed"), True),
        (("v1", Argument("x")), False),
        (("v1", "notes"), False),
        (("v1", "customers"), False),
        (("v1", "customers", "7", "orders"), False),
        ((Argument("v"), "customers", "7"), False),
        (("V1", "fixed"), False),
        (("v1", "fixed", ""), False),
        (("v1", "customers", ""), False),
        (("v2", "fixed"), False),
        ((), False),
    ],
)
def test_an_argument_fills_what_a_pattern_leaves_open_and_nothing_else(
    path: tuple[str | Argument, ...],
    is_within: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    assert PATTERNS.allows_path(path) is is_within


@pytest.mark.requirement("specs:http:ceiling")
def test_a_ceiling_that_says_all_lets_every_method_and_path_in() -> None:
    assert HttpCeiling(None, None).allows_method("DELETE")
    assert HttpCeiling(None, None).allows_path(("anything", Argument("x")))
    assert not PATTERNS.allows_method("POST")


@pytest.mark.requirement("specs:http:tool")
def test_a_reading_tool_is_read_whole(good: Callable[[str], ToolSpec]) -> None:
    spec = good("http_read")

    assert (spec.kind, spec.effects, spec.connection) == ("http", "read", "crm")
    assert spec.http is not None
    request, response = spec.http.request, spec.http.response
    assert (request.method, request.path_template, request.is_idempotent) == ("GET", "/v1/customers", True)
    assert request.query == (
        ("name", Argument("start")), ("limit", Argument("most")), ("verbose", "false"), ("page", "1")
    )  # fmt: skip
    assert request.headers == (("Accept-Language", "en"),)
    assert request.body is None
    assert (response.statuses, response.rows) == ((200,), ("items",))
    assert [(c.name, c.at, c.type, c.is_required) for c in response.columns] == [
        ("id", ("id",), "integer", True),
        ("name", ("name", "full"), "text", True),
        ("score", ("score",), "real", False),
        ("active", ("flags", "0"), "boolean", True),
    ]
    assert (spec.limits.seconds, spec.limits.max_response_bytes) == (3.0, 64 * 1024)


@pytest.mark.requirement("specs:http:tool")
def test_a_writing_tool_is_read_whole(good: Callable[[str], ToolSpec]) -> None:
    spec = good("http_write")

    assert spec.effects == "write"
    assert spec.http is not None
    assert spec.http.request.path == ("v1", "notes", Argument("customer_id"), "notes", "")
    assert spec.http.request.body == {
        "text": Argument("text"),
        "meta": {"tags": Argument("tags"), "source": "agent", "kinds": [1, None, Argument("text")]},
    }
    assert not spec.http.request.is_idempotent
    assert (spec.http.response.statuses, spec.http.response.columns) == ((201, 202), ())


@pytest.mark.requirement("specs:http:tool")
def test_tools_of_databases_and_of_http_lint_side_by_side(linted: Callable[..., SpecsRead]) -> None:
    folder = Path(__file__).parents[2] / "fixtures" / "specs" / "good"
    found = linted(**{path.stem: path.read_bytes() for path in folder.glob("*.yaml")})

    assert found.problems == ()
    assert {spec.kind for spec in found.specs.tools.values()} == {"sql", "http"}


def test_a_secret_may_stand_in_a_variable_and_in_any_header(tmp_path: Path) -> None:
    text = f'base_url = "https://a.example"\nauth = {{header = "X-Api-Key", value = {{env = "KEY"}}}}\n{CEILING}'
    assert target_of(tmp_path, text).auth == HttpAuth("X-Api-Key", "", EnvSecret("KEY"))


OAUTH = {
    "token_url": '"https://Login.example.com/oauth/token/"',
    "grant": '"token_exchange"',
    "client_id": '"sandbox"',
    "client_secret": '{env = "CRM_SECRET"}',
    "scopes": '["customers.read", "customers.write"]',
}


def oauth_text(**changes: str | None) -> str:
    """Return a connection with `auth.oauth`; None leaves a key out."""
    said = {key: value for key, value in {**OAUTH, **changes}.items() if value is not None}
    table = ", ".join(f"{key} = {value}" for key, value in said.items())
    return f'base_url = "https://a.example"\n{CEILING}\nauth = {{oauth = {{{table}}}}}'


@pytest.mark.requirement("specs:http:oauth")
def test_an_authorization_server_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    more = {
        "revoke_url": '"https://login.example.com/revoke"',
        "client_auth": '"body"',
        "audience": '"crm"',
        "resource": '"https://a.example/"',
        "networks": '["10.0.0.0/8"]',
        "ca": '"ca.pem"',
    }

    assert target_of(tmp_path, oauth_text(**more)).auth == OAuth(
        grant="token_exchange",
        host="login.example.com",
        port=443,
        token_url="https://Login.example.com/oauth/token/",
        token_path="/oauth/token/",
        revoke_path="/revoke",
        client_id="sandbox",
        client_secret=EnvSecret("CRM_SECRET"),
        client_auth="body",
        scopes=frozenset({"customers.read", "customers.write"}),
        audience="crm",
        resource="https://a.example/",
        networks=("10.0.0.0/8",),
        ca=str(tmp_path / "ca.pem"),
    )
    plain = target_of(tmp_path, oauth_text()).auth
    assert isinstance(plain, OAuth)
    assert (plain.revoke_path, plain.client_auth, plain.audience, plain.ca) == (None, "basic", "", None)


OAUTH_WRONG: dict[str, tuple[dict[str, str | None], str]] = {
    "plain": ({"token_url": '"http://login.example.com/token"'}, "`token_url` is plain HTTP"),
    "login": ({"token_url": f'"https://a:{SECRET}@login.example.com/token"'}, "`token_url` is no address of HTTP"),
    "query": ({"token_url": f'"https://login.example.com/token?secret={SECRET}"'}, "`token_url` holds a query"),
    "no-url": ({"token_url": None}, "needs a `token_url`"),
    "address": ({"token_url": '"https://10.1.2.3/token"'}, "`token_url` leads to 10.1.2.3, which is not public"),
    "elsewhere": ({"revoke_url": '"https://other.example/revoke"'}, "at another host than `token_url`"),
    "port": ({"revoke_url": '"https://login.example.com:444/revoke"'}, "at another host than `token_url`"),
    "grant": ({"grant": '"password"'}, "needs a `grant`; accepted: `client_credentials`, `token_exchange`"),
    "no-grant": ({"grant": None}, "needs a `grant`"),
    "client-auth": ({"client_auth": '"none"'}, "needs a `client_auth`; accepted: `basic`, `body`"),
    "client-id": ({"client_id": '""'}, "needs a `client_id`"),
    "no-secret": ({"client_secret": None}, "a secret stands in no connection"),
    "secret": ({"client_secret": f'"{SECRET}"'}, "a secret stands in no connection"),
    "no-scopes": ({"scopes": "[]"}, "needs `scopes`, the most that a spec may name"),
    "all-scopes": ({"scopes": '"all"'}, "needs `scopes`"),
    "two-scopes": ({"scopes": '["a b"]'}, "needs `scopes`"),
    "audience": ({"audience": '"a\\nb"'}, "`audience` in `oauth` is a text"),
    "network": ({"networks": '["10.1.2.3/16"]'}, "network `10.1.2.3/16`"),
    "ca": ({"ca": '"gone.pem"'}, "there is no file `gone.pem`"),
    "key": ({"secret": f'"{SECRET}"'}, "unknown key `secret` in `oauth`"),
}


@pytest.mark.requirement("specs:http:oauth")
@pytest.mark.parametrize(("changes", "message"), OAUTH_WRONG.values(), ids=OAUTH_WRONG)
def test_what_is_wrong_with_an_authorization_server_is_told_and_no_secret_with_it(
    changes: dict[str, str | None], message: str, tmp_path: Path
) -> None:
    connection, told = read(tmp_path, oauth_text(**changes))

    assert connection is None
    assert any(message in each for each in told), told
    assert SECRET not in "".join(told)


@pytest.mark.requirement("specs:http:oauth")
def test_the_digest_follows_every_fact_of_an_authorization_server(tmp_path: Path) -> None:
    changes: list[dict[str, str | None]] = [
        {},
        {"token_url": '"https://login.example.com/token"'},
        {"revoke_url": '"https://login.example.com/revoke"'},
        {"grant": '"client_credentials"'},
        {"client_id": '"other"'},
        {"client_secret": '{env = "OTHER"}'},
        {"client_auth": '"body"'},
        {"scopes": '["customers.read"]'},
        {"audience": '"crm"'},
    ]
    digests = [connection.digest for each in changes if (connection := read(tmp_path, oauth_text(**each))[0])]

    assert len(set(digests)) == len(changes)
    again, _ = read(tmp_path, oauth_text(scopes='["customers.write", "customers.read"]'))
    assert again is not None
    assert again.digest == digests[0]
