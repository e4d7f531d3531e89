"""What does a PostgreSQL server keep of a login's password? A verifier: it can check the password, and never say it.

The set-up script carries verifiers alone, and the same ones at every run: their salts come from the same key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from sandbox.leases.keys import login_password

_ITERATIONS: Final = 4096
"""PostgreSQL's own number; the passwords hold 256 random bits, which no number of iterations makes harder to guess."""
_SALT_BYTES: Final = 16


def scram_verifier(key: bytes, connection: str, login: str) -> str:
    """Return the SCRAM-SHA-256 verifier of a login of one connection, as PostgreSQL takes it for a password.

    https://www.rfc-editor.org/rfc/rfc5802#section-3 has the keys; the password is ASCII, so SASLprep changes nothing.
    """
    password = login_password(key, connection, login, "postgres").reveal().encode("ascii")
    salt = hmac.digest(key, f"salt\n{connection}\n{login}".encode(), "sha256")[:_SALT_BYTES]
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_base64(salt)}${_base64(stored)}:{_base64(server)}"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
