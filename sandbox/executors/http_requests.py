"""Which request would be sent? The spec's template with a call's arguments in it, each encoded for its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, final
from urllib.parse import quote, unquote

import orjson

from sandbox.reasons import Fault, Reason, Refused, quoted
from sandbox.stages import HttpPlan, Rights
from sandbox.toolspec import READING_METHODS, Argument, BodyTemplate, Connection, HttpTarget, ToolSpec
from sandbox.values import JsonObject, JsonValue

MAX_TARGET: Final = 8 * 1024
"""Bytes of path and query: what most servers take."""
_OWN_HEADERS: Final = (("User-Agent", "tool-sandbox"), ("Accept", "application/json"))
_LAST_HEADERS: Final = (("Accept-Encoding", "identity"), ("Connection", "close"))


@final
class RequestMaker:
    """Makes the plans of one tool."""

    def __init__(self, spec: ToolSpec, connection: Connection) -> None:
        """Take from spec and connection what every call has in common."""
        if spec.http is None or not isinstance(connection.target, HttpTarget):
            raise Fault("http executor: a tool without a request, or a connection that speaks no HTTP")
        self._spec = spec
        self._exchange = spec.http
        self._target = connection.target
        self._connection = connection.name
        request = self._exchange.request
        template = f"{request.method} {self._target.origin}{self._target.prefix}{request.path_template}"
        self._rights = Rights(relations=(), columns=(), functions=(), claims=(), requests=(template,))
        written = {name.lower() for name, _ in request.headers}
        self._headers = (
            ("Host", self._target.authority),
            *((name, value) for name, value in _OWN_HEADERS if name.lower() not in written),
            *request.headers,
            *_LAST_HEADERS,
        )

    def plan(self, arguments: JsonObject) -> HttpPlan:
        """Return the request for a call's arguments; raises `Refused` with `ARGUMENT_INVALID`."""
        request, limits = self._exchange.request, self._spec.limits
        segments = [_segment(part, arguments) for part in request.path]
        # INVARIANT: the ceiling holds for what is sent, whatever lint made of the template.
        if not (self._target.ceiling.allows_method(request.method) and self._target.ceiling.allows_path(segments)):
            raise Refused(
                Reason.EXECUTOR_UNAVAILABLE, "the request is outside its connection's ceiling", rule="http/ceiling"
            )
        path = self._target.prefix + "".join(f"/{quote(segment, safe=_KEPT)}" for segment in segments)
        query = _query(request.query, arguments)
        target = path + (f"?{query}" if query else "")
        if len(target) > MAX_TARGET:
            message = f"path and query come to {len(target)} bytes; {MAX_TARGET} are accepted, so shorter arguments"
            raise Refused(Reason.ARGUMENT_INVALID, message, rule="http/target")
        body = None if request.body is None else orjson.dumps(_filled(request.body, arguments))
        return HttpPlan(
            connection=self._connection,
            method=request.method,
            origin=self._target.origin,
            target=target,
            headers=(*self._headers, *_body_headers(request.method, body)),
            secret_header="" if self._target.auth is None else self._target.auth.header,
            scopes=request.scopes,
            body=body,
            response=self._exchange.response,
            has_effects=self._spec.effects == "write",
            is_idempotent=request.is_idempotent,
            rights=self._rights,
            max_seconds=limits.seconds,
            max_rows=limits.max_rows,
            max_bytes=limits.max_bytes,
            max_response_bytes=limits.max_response_bytes,
        )


def _body_headers(method: str, body: bytes | None) -> tuple[tuple[str, str], ...]:
    if body is not None:
        return (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
    return () if method in READING_METHODS else (("Content-Length", "0"),)


_KEPT: Final = "~!$&'()*+,=:@"
"""Beside letters, digits and `_.-`, what a segment may hold as it is (RFC 3986, section 3.3), but for `;`."""


def _segment(part: str | Argument, arguments: JsonObject) -> str:
    if not isinstance(part, Argument):
        return part
    text = _text(part.name, arguments.get(part.name))
    if text is None or not is_one_segment(text):
        message = (
            f"argument {quoted(part.name)} becomes one segment of a path; "
            "text without `/`, `\\`, control characters, and other than empty, `.` or `..` is accepted"
        )
        raise Refused(Reason.ARGUMENT_INVALID, message, rule="http/segment", argument=part.name)
    return text


def is_one_segment(text: str) -> bool:
    """Whether a text stays one segment of a path, also at a server that decodes it more than once."""
    while True:
        if text.split(";", maxsplit=1)[0].strip() in {"", ".", ".."}:
            return False
        if any(c in "/\\\x7f" or c < " " for c in text):
            return False
        decoded = unquote(text)
        if decoded == text:
            return True
        text = decoded


def _query(pairs: Sequence[tuple[str, str | Argument]], arguments: JsonObject) -> str:
    parts: list[str] = []
    for name, value in pairs:
        text = _text(value.name, arguments.get(value.name)) if isinstance(value, Argument) else value
        if text is not None:
            parts.append(f"{quote(name, safe='')}={quote(text, safe='')}")
    return "&".join(parts)


def _text(name: str, value: JsonValue) -> str | None:
    """Return a single value as text; None if there is none."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return orjson.dumps(value).decode()
    message = f"argument {quoted(name)} is a list or an object; a single value is accepted"
    raise Refused(Reason.ARGUMENT_INVALID, message, rule="arguments/type", argument=name)


def _filled(template: BodyTemplate, arguments: JsonObject) -> JsonValue:
    """Return the body; a key whose argument was left out is left out too."""
    if isinstance(template, Argument):
        return arguments.get(template.name)
    if isinstance(template, Mapping):
        return {
            key: _filled(value, arguments)
            for key, value in template.items()
            if not isinstance(value, Argument) or value.name in arguments
        }
    if isinstance(template, Sequence) and not isinstance(template, str):
        return [_filled(item, arguments) for item in template]
    return template
