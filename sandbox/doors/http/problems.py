"""What does a request of HTTP hear that goes wrong? One sentence, in the form of the protocol that it came in.

Connect: https://connectrpc.com/docs/protocol#error-end-stream; MCP: JSON-RPC 2.0 under an HTTP status.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Final, final

from google.protobuf.json_format import MessageToDict

from sandbox.doors.details import details_of
from sandbox.reasons import Fault, Refused, Status
from sandbox.values import JsonObject

JSON: Final = b"application/json"
Header = tuple[bytes, bytes]

_CODES: Final[Mapping[Status, tuple[str, int]]] = {
    Status.CANCELLED: ("canceled", 499),
    Status.INVALID_ARGUMENT: ("invalid_argument", 400),
    Status.DEADLINE_EXCEEDED: ("deadline_exceeded", 504),
    Status.NOT_FOUND: ("not_found", 404),
    Status.ALREADY_EXISTS: ("already_exists", 409),
    Status.PERMISSION_DENIED: ("permission_denied", 403),
    Status.RESOURCE_EXHAUSTED: ("resource_exhausted", 429),
    Status.FAILED_PRECONDITION: ("failed_precondition", 400),
    Status.INTERNAL: ("internal", 500),
    Status.UNAVAILABLE: ("unavailable", 503),
    Status.UNAUTHENTICATED: ("unauthenticated", 401),
}
"""Connect's names of the codes, and their HTTP statuses."""
_INVALID_REQUEST: Final = -32600
"""JSON-RPC's code for what is no request."""


@final
class Problem(Exception):
    """Why a request of HTTP is answered without anybody behind the door having seen it."""

    def __init__(
        self, status: int, code: str, message: str, *headers: Header, details: tuple[JsonObject, ...] = ()
    ) -> None:
        """Answer with the HTTP `status`, Connect's `code` and one sentence."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.details = details

    def as_connect(self) -> bytes:
        """Return the body that Connect's clients read."""
        body: JsonObject = {"code": self.code, "message": self.message}
        return json.dumps({**body, "details": list(self.details)} if self.details else body).encode()

    def as_json_rpc(self) -> bytes:
        """Return the body that MCP's clients read; whose request it was is not known yet."""
        error: JsonObject = {"code": _INVALID_REQUEST, "message": self.message}
        return json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()


def problem_of_refusal(refused: Refused) -> Problem:
    """Return what a refusal without a receipt looks like, its reason and its delay as details."""
    code, status = _CODES[refused.status]
    details: list[JsonObject] = [
        {
            "type": detail.DESCRIPTOR.full_name,
            "value": b64encode(detail.SerializeToString()).decode().rstrip("="),
            "debug": MessageToDict(detail),
        }
        for detail in details_of(refused)
    ]
    delay = -int(-refused.retry_after_s // 1)
    later = ((b"retry-after", str(delay).encode()),) if delay > 0 else ()
    return Problem(status, code, refused.message, *later, details=tuple(details))


def problem_of_fault(fault: Fault) -> Problem:
    """Return what a fault looks like: nothing but its reference."""
    return Problem(500, "internal", str(fault))
