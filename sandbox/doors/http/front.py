"""How is a request of HTTP taken in? Head, token, turn, body; then it goes to the protocol that its path names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final, final

from starlette.types import Message, Receive, Scope, Send

from sandbox.doors.desk import Desk
from sandbox.doors.http.asked import Answered, Asked
from sandbox.doors.http.connect import Connect
from sandbox.doors.http.connection import PEER, Peer
from sandbox.doors.http.head import Headers, body_of, head_of, hosts_of
from sandbox.doors.http.mcp import Mcp
from sandbox.doors.http.metadata import MCP_PATH, WELL_KNOWN, challenge, metadata_json
from sandbox.doors.http.problems import JSON, Header, Problem, problem_of_fault, problem_of_refusal
from sandbox.doors.http.turns import Turns
from sandbox.doors.trouble import BEARER, as_fault, note_refusal
from sandbox.reasons import Reason, Refused
from sandbox.settings import Settings
from sandbox.stages import Credential

SENT_S: Final = 30.0
"""How long a part of an answer may wait for whoever takes it."""
_NO_STORE: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_STRANGERS: Final = {
    Reason.CREDENTIAL_MISSING: "",
    Reason.CREDENTIAL_INVALID: "invalid_token",
    Reason.CREDENTIAL_EXPIRED: "invalid_token",
}
"""What `WWW-Authenticate` calls it (RFC 6750, section 3.1)."""


@final
class Front:
    """The ASGI application."""

    def __init__(self, desk: Desk, address: str, settings: Settings, mcp: Mcp, threads: Executor) -> None:
        """Serve at `address`, blocking work on `threads`."""
        self._desk = desk
        self._address = address
        self._settings = settings.http
        self._max_bytes = settings.server.max_message_bytes
        self._hosts = hosts_of(address, settings.http)
        self._turns = Turns(settings.server.threads_per_principal)
        self._threads = threads
        self._connect = Connect(desk)
        self._mcp = mcp
        self._metadata = metadata_json(address, settings.http)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong is told in one sentence."""
        peer: Peer = scope["state"][PEER]
        sending = _Sending(send, peer)
        try:
            await self._answer(scope, receive, sending, peer)
        except BaseException as error:  # noqa: BLE001 - the one place that must catch everything
            problem = self._problem(error)
            if sending.has_begun:
                peer.hang_up()  # what was sent is no whole answer
            else:
                await self._tell(problem, scope["path"], sending)

    async def _answer(self, scope: Scope, receive: Receive, send: _Sending, peer: Peer) -> None:
        path, method = scope["path"], scope["method"]
        headers = head_of(scope, self._hosts, self._settings)
        if path in (WELL_KNOWN, WELL_KNOWN + MCP_PATH) and method == "GET":
            await send.whole(Answered(self._metadata, JSON))
            return
        if method != "POST":
            raise Problem(405, "unimplemented", "only POST is accepted here", (b"allow", b"POST"))
        credential = Credential(peer.certificate_pem, _token(headers))
        has_certificate = bool(credential.certificate_pem)
        with self._turns.taken(self._desk.guests.greet(credential.token, has_certificate=has_certificate)):
            body = await body_of(headers, receive, self._max_bytes)
            asked = Asked(path, headers, body, credential, peer, self._threads)
            if path == MCP_PATH:
                await self._mcp.take(asked, scope, send, receive)
            else:
                await send.whole(await self._connect.answer(asked))

    def _problem(self, error: BaseException) -> Problem:
        if isinstance(error, Problem):
            return error
        if isinstance(error, asyncio.CancelledError):
            return Problem(503, "unavailable", "the service is ending; ask again", (b"connection", b"close"))
        if not isinstance(error, Refused):
            return problem_of_fault(as_fault(error, "http handler"))
        note_refusal(error)
        problem = problem_of_refusal(error)
        if error.reason in _STRANGERS:
            value = challenge(self._address, self._settings, _STRANGERS[error.reason])
            problem.headers = (*problem.headers, (b"www-authenticate", value))
        return problem

    async def _tell(self, problem: Problem, path: str, send: _Sending) -> None:
        body = problem.as_json_rpc() if path == MCP_PATH else problem.as_connect()
        await send.whole(Answered(body, JSON, problem.status), problem.headers)


def _token(headers: Headers) -> str:
    value = headers.get(b"authorization", b"").decode("latin-1")
    return value[len(BEARER) :] if value.startswith(BEARER) else ""


@final
class _Sending:
    """Sends an answer, and hangs up on whoever does not take it."""

    def __init__(self, send: Send, peer: Peer) -> None:
        self._send = send
        self._peer = peer
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        """Send a part of an answer; its head says that it is nobody else's to keep."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            message["headers"] = [*message.get("headers", ()), *_NO_STORE]
        try:
            async with asyncio.timeout(SENT_S):
                await self._send(message)
        except TimeoutError:
            self._peer.hang_up()

    async def whole(self, answered: Answered, headers: Sequence[Header] = ()) -> None:
        """Send a whole answer."""
        length = (b"content-length", str(len(answered.body)).encode())
        head = [(b"content-type", answered.content_type), length, *headers]
        await self({"type": "http.response.start", "status": answered.status, "headers": head})
        await self({"type": "http.response.body", "body": answered.body})
