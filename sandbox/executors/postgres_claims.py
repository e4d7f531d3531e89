"""How does PostgreSQL know a caller's claims? From a setting that only we can sign, good for one transaction.

The views' `sandbox.claim(name)` recomputes the signature with a key that lies in the database and takes nothing else;
a statement that sets the setting itself, or replays a neighbour's, gets an error instead of rows.
"""

from __future__ import annotations

import base64
import hmac
import json

from sandbox.values import JsonObject

WHERE_AND_WHEN = b"""
SELECT pg_catalog.pg_backend_pid(), (extract(epoch FROM pg_catalog.transaction_timestamp()) * 1000000)::bigint
"""
"""What a signature is bound to: the server's process, and when its transaction began."""
SET = b"SELECT pg_catalog.set_config('sandbox.claims', $1, true)"
KEY = b"SELECT sandbox.claims_key_bytes()"


def signed(claims: JsonObject, key: bytes, pid: str, began: str) -> bytes:
    """Return the setting that tells `claims` to the transaction of process `pid` that began at `began` microseconds."""
    told = base64.b64encode(json.dumps(dict(claims)).encode()).decode("ascii")
    signature = hmac.digest(key, f"{pid}.{began}.{told}".encode(), "sha256").hex()
    return f"{told}.{signature}".encode("ascii")
