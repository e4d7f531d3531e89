"""How does MariaDB know a caller's claims? From a variable of the session that only we can sign, for a short while.

The views' `claim(name)` recomputes the signature with a key that lies in the database and takes nothing else. What is
signed names the very connection and the server's time, from which it counts for two minutes; a session serves one set
of claims alone, so no other set was ever signed for its connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Final

from sandbox.executors.mysql_shape import SETTING
from sandbox.values import JsonObject

KEY_BYTES: Final = 128
"""Two independent keys of one block of SHA-256 each, inner and outer: NMAC, of which HMAC is the form for one key."""


def signed(claims: JsonObject, key: bytes, connection_id: str, now: int) -> str:
    """Return the setting that tells `claims` to a connection; `now` is the server's time in seconds since 1970 UTC."""
    told = base64.b64encode(canonical(claims)).decode("ascii")
    said = f"{connection_id}.{now}.{told}"
    inner = hashlib.sha256(key[:64] + said.encode("ascii")).digest()
    return f"{told}.{now}.{hashlib.sha256(key[64:] + inner).hexdigest()}"


def tell(setting: str) -> str:
    """Return the statement that tells a session its claims."""
    return f"SET @{SETTING} = '{setting}'"


def canonical(claims: JsonObject) -> bytes:
    """Return claims as JSON, the same for the same claims."""
    return json.dumps(dict(claims), sort_keys=True).encode("ascii")
