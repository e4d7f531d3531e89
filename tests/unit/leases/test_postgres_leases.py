"""Does a login's lease open what it says, name itself standing, and never show a password?"""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.deployment import Misconfigured, write_private
from sandbox.leases import Leases, LoginLease, Secret, create_lease_key, read_dsn
from sandbox.leases.keys import login_password, read_lease_key
from sandbox.leases.postgres_servers import parse_postgres_dsn
from sandbox.leases.sources import read_secret
from sandbox.reasons import Reason, Refused
from sandbox.toolspec import Connection, Digest, EnvSecret, FileSecret, ServerTarget, SqlCeiling

PASSWORD = "hunter2-%s-hunter2" % ("x" * 8)
DSN = f"postgresql://catalogue:{PASSWORD}@127.0.0.1:5433/shop?connect_timeout=1"
GOOD = f"postgresql://catalogue:{PASSWORD}@127.0.0.1:5433/shop"


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    write_private(tmp_path / "shop.dsn", GOOD.encode() + b"\n")
    create_lease_key(tmp_path / "lease.key")
    target = ServerTarget(FileSecret(str(tmp_path / "shop.dsn")))
    return Connection(name="shop", engine="postgres", target=target, ceiling=SqlCeiling(None), digest=Digest("d"))


def lent(connection: Connection, folder: Path, login: str = "sandbox_ab", *, reads_claims: bool = False) -> LoginLease:
    lease = Leases({"shop": connection}, folder / "lease.key").lend("shop", login, reads_claims=reads_claims)
    assert isinstance(lease, LoginLease)
    return lease


@pytest.mark.requirement("leases:postgres:standing")
def test_a_lease_names_itself_standing_and_its_scope(connection: Connection, tmp_path: Path) -> None:
    plain, claiming = lent(connection, tmp_path), lent(connection, tmp_path, reads_claims=True)

    assert (plain.login, plain.scope, plain.expires_at) == ("sandbox_ab", "sandbox_ab read-only", None)
    assert plain.claims_password is None
    assert claiming.scope == "sandbox_ab read-only + claims"
    assert claiming.claims_password is not None
    assert plain.server.parameters == {"host": "127.0.0.1", "port": "5433", "dbname": "shop"}


@pytest.mark.requirement("leases:postgres:standing")
def test_its_digest_changes_with_connection_login_and_scope_and_with_no_secret(
    connection: Connection, tmp_path: Path
) -> None:
    digests = {
        lent(connection, tmp_path).digest,
        lent(connection, tmp_path, "sandbox_cd").digest,
        lent(connection, tmp_path, reads_claims=True).digest,
        lent(replace(connection, digest=Digest("e")), tmp_path).digest,
    }
    other = tmp_path / "other"
    other.mkdir()
    create_lease_key(other / "lease.key")

    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {32}
    assert lent(connection, other).digest in digests
    assert lent(connection, other).password.reveal() != lent(connection, tmp_path).password.reveal()


@pytest.mark.requirement("leases:postgres:secret")
def test_no_repr_message_or_copy_shows_a_password(connection: Connection, tmp_path: Path) -> None:
    lease = lent(connection, tmp_path, reads_claims=True)
    dsn = (
        read_dsn(connection.target.dsn, "shop", parse_postgres_dsn)
        if isinstance(connection.target, ServerTarget)
        else None
    )
    assert dsn is not None
    assert dsn.password is not None
    secrets = {lease.password.reveal(), dsn.password.reveal(), PASSWORD}
    shown = "".join(
        f"{one!r}{one}" for one in (lease, dsn, dsn.password, lease.server, lease.password, [lease], {"a": lease})
    )

    assert not any(secret in shown for secret in secrets)
    assert "catalogue" not in shown
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="a secret is not written anywhere"):
            way(lease.password)


@pytest.mark.requirement("leases:postgres:password")
def test_a_password_follows_from_key_connection_and_login() -> None:
    key = bytes(range(32))
    password = login_password(key, "shop", "sandbox_ab", "postgres").reveal()

    assert password == "GsfmjujK1jRF1kEw-13vjz17qQYBByp_1djGbDWNH-s"
    others = [
        login_password(bytes(32), "shop", "sandbox_ab", "postgres"),
        login_password(key, "shop2", "sandbox_ab", "postgres"),
        login_password(key, "shop", "sandbox_cd", "postgres"),
    ]
    assert len({password, *(other.reveal() for other in others)}) == 4


@pytest.mark.requirement("leases:postgres:password")
def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    create_lease_key(tmp_path / "lease.key")
    assert (tmp_path / "lease.key").stat().st_mode & 0o777 == 0o600
    assert len(read_lease_key(tmp_path / "lease.key")) == 32
    with pytest.raises(FileExistsError):
        create_lease_key(tmp_path / "lease.key")

    write_private(tmp_path / "short.key", b"x")
    with pytest.raises(Misconfigured, match="1 bytes; a lease key has 32"):
        read_lease_key(tmp_path / "short.key")


@pytest.mark.requirement("leases:sources:refused")
def test_a_missing_key_refuses_the_lease_and_says_what_makes_one(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "lease.key").unlink()

    with pytest.raises(Refused, match=r"lease\.key: .*sandbox doctor --setup-sql") as caught:
        lent(connection, tmp_path)
    assert caught.value.reason is Reason.EXECUTOR_UNAVAILABLE


@pytest.mark.requirement("leases:sources:refused")
@pytest.mark.parametrize(
    ("dsn", "complaint"),
    [
        ("host=127.0.0.1 user=u dbname=d", "is no `postgresql://USER:PASSWORD@HOST:PORT/DATABASE` URL"),
        ("mysql://u:p@127.0.0.1/d", "is no `postgresql://USER:PASSWORD@HOST:PORT/DATABASE` URL"),
        ("postgresql://u:p%zz@127.0.0.1/d", "cannot be read; special characters are %-escaped"),
        ("postgresql://u:p@127.0.0.1/d?options=-c%20search_path%3Dx", "sets `options`"),
        ("postgresql://u:p@127.0.0.1/d?service=x", "sets `service`"),
        (DSN, "sets `connect_timeout`"),
        ("postgresql://u:p@127.0.0.1", "does not say its `dbname`"),
        ("postgresql:///d?host=/tmp", "does not say its `user`"),
        ("postgresql://u:p@/d", "does not say its `host`"),
        ("postgresql://u:p@db.example/d", "names a server elsewhere and no `sslmode`"),
        ("postgresql://u:p@127.0.0.1,db.example/d", "names a server elsewhere and no `sslmode`"),
    ],
)
def test_a_dsn_that_says_too_much_or_too_little_is_refused(dsn: str, complaint: str, tmp_path: Path) -> None:
    write_private(tmp_path / "a.dsn", dsn.encode())

    with pytest.raises(Refused) as caught:
        read_dsn(FileSecret(str(tmp_path / "a.dsn")), "shop", parse_postgres_dsn)

    assert caught.value.reason is Reason.EXECUTOR_UNAVAILABLE
    assert caught.value.message.startswith("the dsn of connection `shop` ")
    assert complaint in caught.value.message
    assert "u:p" not in caught.value.message
    assert "db.example" not in caught.value.message


@pytest.mark.requirement("leases:sources:refused")
@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:p%40ss@127.0.0.1/d",
        "postgresql://u@localhost/d",
        "postgresql://u:p@[::1]:5432/d",
        "postgresql://u:p@/d?host=/var/run/postgresql",
        "postgresql://u:p@db.example/d?sslmode=verify-full&sslrootcert=system&target_session_attrs=any",
        "postgres://u:p@db.example/d?sslmode=disable",
    ],
)
def test_a_dsn_of_a_server_is_taken(dsn: str) -> None:
    parsed = parse_postgres_dsn(dsn)

    assert parsed.user == "u"
    assert set(parsed.server.parameters) >= {"host", "dbname"}
    assert "password" not in parsed.server.parameters
    assert parsed.password is None or parsed.password.reveal() in {"p", "p@ss"}


@pytest.mark.requirement("leases:sources:refused")
def test_a_variable_that_is_unset_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_DSN", raising=False)
    with pytest.raises(Refused, match="the environment variable `SHOP_DSN` is not set") as caught:
        read_secret(EnvSecret("SHOP_DSN"), "the dsn")
    assert caught.value.reason is Reason.EXECUTOR_UNAVAILABLE

    monkeypatch.setenv("SHOP_DSN", GOOD)
    assert read_secret(EnvSecret("SHOP_DSN"), "the dsn").reveal() == GOOD


@pytest.mark.requirement("leases:sources:refused")
@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"a\0b", b"\xff", b"x" * 10_000])
def test_a_file_that_holds_no_single_line_is_refused_unshown(content: bytes, tmp_path: Path) -> None:
    write_private(tmp_path / "a.dsn", content)

    with pytest.raises(Refused, match=r"the dsn: the file `a\.dsn`"):
        read_secret(FileSecret(str(tmp_path / "a.dsn")), "the dsn")


@pytest.mark.requirement("leases:sources:refused")
def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "a.dsn", GOOD.encode())
    (tmp_path / "a.dsn").chmod(0o640)

    with pytest.raises(Refused, match="mode 0640") as caught:
        read_secret(FileSecret(str(tmp_path / "a.dsn")), "the dsn")
    assert PASSWORD not in caught.value.message
    with pytest.raises(Refused, match=r"^the dsn: .*/none\.dsn: the secret cannot be read \(No such file"):
        read_secret(FileSecret(str(tmp_path / "none.dsn")), "the dsn")


def test_a_secret_is_only_itself() -> None:
    assert repr(Secret("x")) == str(Secret("x")) == "Secret(…)"
