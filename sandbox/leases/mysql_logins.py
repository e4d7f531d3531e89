"""What does a MariaDB server keep of a login's password? A verifier: it can check the password, and never say it."""

from __future__ import annotations

import hashlib

from sandbox.leases.keys import login_password


def native_verifier(key: bytes, connection: str, login: str) -> str:
    """Return the verifier of a login of one connection, as `mysql_native_password` has it.

    It is a bare hash, which costs nothing here: the passwords hold 256 random bits. MariaDB's `ed25519` would need a
    plugin that not every server has.
    """
    password = login_password(key, connection, login, "mysql").reveal().encode("ascii")
    return "*" + hashlib.sha1(hashlib.sha1(password).digest()).hexdigest().upper()  # noqa: S324 - MariaDB's own way
