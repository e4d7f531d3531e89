"""What does a MariaDB dsn say, and what does a lease of its logins hold?"""

from __future__ import annotations

import hashlib
import re

import pytest

from sandbox.leases import parse_mysql_dsn
from sandbox.leases.keys import login_password
from sandbox.leases.mysql_logins import native_verifier


@pytest.mark.requirement("mysql:leases:dsn")
def test_a_dsn_of_a_server_is_taken_apart() -> None:
    dsn = parse_mysql_dsn("mysql://us%40er:p%3Aw@127.0.0.1:3307/shop")

    assert dsn.user == "us@er"
    assert dsn.password is not None
    assert dsn.password.reveal() == "p:w"
    assert dict(dsn.server.parameters) == {"host": "127.0.0.1", "port": "3307", "database": "shop", "ssl-mode": ""}
    assert "p:w" not in repr(dsn) + repr(dsn.server)
    assert "us@er" not in repr(dsn)


@pytest.mark.requirement("mysql:leases:dsn")
@pytest.mark.parametrize(
    "dsn",
    [
        "mariadb://u@localhost/shop",
        "mysql://u:p@db.example.com/shop?ssl-mode=verify_identity&ssl-ca=/etc/ca.pem",
        "mysql://u:p@db.example.com/shop?ssl-mode=DISABLED",
        "mysql://u:p@localhost/shop?socket=/run/mysqld/mysqld.sock",
        "mysql://u:p@[::1]:3306/a%20b",
    ],
)
def test_a_dsn_may_say_where_how_and_which(dsn: str) -> None:
    assert parse_mysql_dsn(dsn).server.parameters["database"] in {"shop", "a b"}


@pytest.mark.requirement("mysql:leases:dsn")
@pytest.mark.parametrize(
    ("dsn", "complaint"),
    [
        ("postgresql://u:sEcret@h/d", "is no `mysql://USER:PASSWORD@HOST:PORT/DATABASE` URL"),
        ("host=h password=sEcret", "is no `mysql://"),
        ("mysql://u:sEcret@h:port/d", "is a URL that cannot be read"),
        ("mysql://u:sEcret@localhost/", "does not say its `database`"),
        ("mysql://:sEcret@localhost/d", "does not say its `user`"),
        ("mysql:///d", "does not say its `host`"),
        ("mysql://u:sEcret@localhost/d?local_infile=1", "sets `local_infile`, which"),
        ("mysql://u:sEcret@localhost/d?ssl-mode=preferred", "has an `ssl-mode` other than"),
        ("mysql://u:sEcret@db.example.com/d", "names a server elsewhere and no `ssl-mode`"),
        ("mysql://u:sEcret@10.0.0.1/d", "names a server elsewhere and no `ssl-mode`"),
        ("mysql://u:sEcret@localhost/a%60b", "names a database that no connection can have"),
        ("mysql://u:sEcret@localhost/d#x", "is no `mysql://"),
        ("mysql://u:sEcret@localhost/d?ssl-ca=/ca.pem", "has an `ssl-ca` that nothing looks at"),
        ("mysql://u:sEcret@localhost/d?ssl-mode=disabled&ssl-ca=/ca.pem", "has an `ssl-ca` that nothing looks at"),
        ("mysql://u:sEcret@h/d?ssl-mode=verify_identity&ssl-mode=disabled", "says an option twice"),
    ],
)
def test_a_dsn_that_says_too_much_or_too_little_is_refused_unshown(dsn: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)) as caught:
        parse_mysql_dsn(dsn)

    assert "sEcret" not in str(caught.value)


@pytest.mark.requirement("mysql:leases:dsn")
def test_a_verifier_says_nothing_of_its_password_and_no_engine_s_is_another_s() -> None:
    key = bytes(32)
    password = login_password(key, "shop", "sandbox_ab", "mysql").reveal()
    once = hashlib.sha1(password.encode()).digest()  # noqa: S324 - MariaDB's own way

    assert native_verifier(key, "shop", "sandbox_ab") == f"*{hashlib.sha1(once).hexdigest().upper()}"  # noqa: S324
    assert password != login_password(key, "shop", "sandbox_ab", "postgres").reveal()
