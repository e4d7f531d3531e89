"""What does an HTTP tool send, and what of the answer does it take? The keys `request:` and `response:`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast, final, get_args

from sandbox.problems import Mark
from sandbox.reasons import quoted
from sandbox.specs.document import Shape, boolean, choice, entries_of, fields, found, integer, items, scalar, text
from sandbox.specs.findings import Findings, Rule, choices, suggestion
from sandbox.specs.http_connection import HEADER_NAME, METHODS, OWN_HEADERS, STANDING_FOR
from sandbox.specs.inputs import Inputs, types_of
from sandbox.specs.oauth_connection import SCOPE
from sandbox.specs.urls import SEGMENT
from sandbox.specs.yaml import Broken, Entries, Entry, Items, Node, Scalar
from sandbox.toolspec import (
    READING_METHODS,
    Argument,
    BodyTemplate,
    Connection,
    HttpExchange,
    HttpMethod,
    HttpRequest,
    HttpResponse,
    HttpTarget,
    OAuth,
    PickedColumn,
    PickedType,
)

REQUEST_KEYS: Final = ("method", "path", "query", "headers", "json", "idempotent", "scopes")
RESPONSE_KEYS: Final = ("status", "rows", "columns")
COLUMN_KEYS: Final = ("at", "type", "required")
PICKED_TYPES: Final[tuple[PickedType, ...]] = get_args(PickedType)
DEFAULT_STATUSES: Final = (200,)
MAX_COLUMNS: Final = 128
MAX_PATH: Final = 2_000

_REQUEST: Final = Shape("`request`", REQUEST_KEYS, ("method", "path"))
_RESPONSE: Final = Shape("`response`", RESPONSE_KEYS)
_COLUMN: Final = Shape("a column", COLUMN_KEYS, ("at", "type"))
_SCOPES: Final = "a list such as `[customers.read]`"
_PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")
_SPOKEN_FOR: Final = OWN_HEADERS | {"authorization", "content-type"}
_IN_A_PATH: Final = frozenset({"string", "integer"})
_IN_A_QUERY: Final = frozenset({"string", "integer", "number", "boolean", "null"})


def read_exchange(
    known: Mapping[str, Entry], inputs: Inputs, connection: Connection | None, effects: str | None, findings: Findings
) -> HttpExchange | None:
    """Return what the tool sends and takes; notes everything that is wrong, also against the connection's ceiling."""
    target = connection.target if connection is not None and isinstance(connection.target, HttpTarget) else None
    reader = _RequestReader(inputs, target, findings)
    request = reader.read(known["request"].node, effects) if "request" in known else None
    response = known["response"].node if "response" in known else None
    taken = HttpResponse(statuses=DEFAULT_STATUSES, rows=(), columns=())
    if response is not None:
        taken = _response(response, findings)
    if request is None:
        return None
    if request.method == "HEAD" and taken.columns:
        findings.add(Rule.VALUE, known["response"].mark, "an answer to `HEAD` has no body to take `columns` from")
    return HttpExchange(request, taken)


@final
class _RequestReader:
    """Takes the keys of `request:` and notes which arguments they use."""

    def __init__(self, inputs: Inputs, target: HttpTarget | None, findings: Findings) -> None:
        self._inputs = inputs
        self._target = target
        self._findings = findings
        self._used: set[str] = set()

    def read(self, node: Node, effects: str | None) -> HttpRequest | None:
        known = fields(node, _REQUEST, self._findings)
        method = choice(known["method"].node, METHODS, self._findings) if "method" in known else None
        request = HttpRequest(
            method=cast("HttpMethod", method or "GET"),
            path=self._path(known["path"].node) if "path" in known else (),
            query=self._query(known["query"].node) if "query" in known else (),
            headers=self._headers(known["headers"].node) if "headers" in known else (),
            body=self._json(known["json"].node) if "json" in known else None,
            is_idempotent="idempotent" in known and boolean(known["idempotent"].node, self._findings) is True,
            scopes=self._scopes(node, known),
        )
        if method is not None:
            self._check_method(method, known, effects)
        for name in sorted(set(self._inputs.marks) - self._used):
            message = f"argument {quoted(name)} is not used by the request; use {quoted(f'{{{name}}}')} or leave it out"
            self._findings.add(Rule.UNUSED_INPUT, self._inputs.marks[name], message)
        return request if method is not None and "path" in known else None

    def _scopes(self, request: Node, known: Mapping[str, Entry]) -> tuple[str, ...]:
        """Return the scopes of the token that the connection lends; named where it lends one, and there alone."""
        auth = self._target.auth if self._target is not None else None
        entry = known.get("scopes")
        if entry is None:
            if isinstance(auth, OAuth):
                message = f"the connection lends a token for the scopes that the request names; {_SCOPES} is accepted"
                self._findings.add(Rule.MISSING_KEY, request.mark, message)
            return ()
        if self._target is not None and not isinstance(auth, OAuth):
            message = "the connection lends no token, so there is nothing to name `scopes` of; leave it out"
            self._findings.add(Rule.VALUE, entry.mark, message)
        scopes: set[str] = set()
        for item in items(entry.node, f"{_SCOPES},", self._findings, most=50):
            scope = text(item, self._findings, most=256, accepted="a scope")
            if scope is None:
                continue
            if not SCOPE.fullmatch(scope):
                message = f"scope {quoted(scope)}; printable ASCII without spaces, quotes and backslashes is accepted"
                self._findings.add(Rule.VALUE, item.mark, message)
            elif isinstance(auth, OAuth) and scope not in auth.scopes:
                message = f"scope {quoted(scope)} is outside the connection's ceiling; its operator can widen it"
                self._findings.add(Rule.CEILING, item.mark, message)
            scopes.add(scope)
        return tuple(sorted(scopes))

    def _check_method(self, method: str, known: Mapping[str, Entry], effects: str | None) -> None:
        mark = known["method"].node.mark
        if method not in READING_METHODS and effects == "read":
            message = f"{quoted(method)} may change something, and the tool says `effects: read`; `write` is accepted"
            self._findings.add(Rule.EFFECTS, mark, message)
        if method in READING_METHODS and "json" in known:
            self._findings.add(Rule.VALUE, known["json"].mark, f"a {quoted(method)} carries no body; leave `json` out")
        if self._target is not None and not self._target.ceiling.allows_method(method):
            message = f"method {quoted(method)} is outside the connection's ceiling; its operator can widen it"
            self._findings.add(Rule.CEILING, mark, message)

    def _path(self, node: Node) -> tuple[str | Argument, ...]:
        written = text(node, self._findings, most=MAX_PATH, accepted="a path such as `/v1/customers/{id}`")
        if written is None:
            return ()
        segments = written.removeprefix("/").split("/")
        before = len(self._findings.problems)
        parts = tuple(
            self._segment(segment, node.mark, is_last=index == len(segments) - 1)
            for index, segment in enumerate(segments)
        )
        if not written.startswith("/"):
            self._findings.add(Rule.VALUE, node.mark, f"path {quoted(written)} begins with no `/`")
        is_sound = len(self._findings.problems) == before
        if is_sound and self._target is not None and not self._target.ceiling.allows_path(parts):
            message = f"path {quoted(written)} is outside the connection's ceiling; its operator can widen it"
            self._findings.add(Rule.CEILING, node.mark, message)
        return parts

    def _segment(self, segment: str, mark: Mark, *, is_last: bool) -> str | Argument:
        place = _PLACE.fullmatch(segment)
        if place:
            self._use(place[1], mark, _IN_A_PATH, "a path's segment is a text or an integer", is_required=True)
            return Argument(place[1])
        is_good = SEGMENT.fullmatch(segment) and segment not in {".", ".."}
        if not is_good and (segment or not is_last):
            accepted = "`A-Z a-z 0-9 . _ ~ ! $ & ' ( ) * + , = : @ -`, or one whole `{argument}`,"
            message = f"{quoted(segment)} between two `/` of the path; {accepted} is accepted"
            self._findings.add(Rule.VALUE, mark, message)
        return segment

    def _query(self, node: Node) -> tuple[tuple[str, str | Argument], ...]:
        pairs: list[tuple[str, str | Argument]] = []
        for entry in entries_of(node, "`query`", self._findings):
            value = scalar(entry.node, "text, a number or a boolean", self._findings, str, int, float, bool)
            if isinstance(value, str):
                template = self._template(value, entry.node.mark, _IN_A_QUERY, "a query's value is a single value")
                pairs.append((entry.key, template))
            elif value is not None:
                pairs.append((entry.key, str(value).lower()))
        return tuple(pairs)

    def _headers(self, node: Node) -> tuple[tuple[str, str], ...]:
        pairs: list[tuple[str, str]] = []
        secret = self._target.auth.header.lower() if self._target is not None and self._target.auth is not None else ""
        for entry in entries_of(node, "`headers`", self._findings):
            value = text(entry.node, self._findings, most=1_000, accepted="fixed text")
            name = entry.key.lower()
            if not HEADER_NAME.fullmatch(entry.key):
                message = f"header name {quoted(entry.key)}; a name such as `Accept-Language` is accepted"
                self._findings.add(Rule.VALUE, entry.mark, message)
            elif name in _SPOKEN_FOR or name == secret or STANDING_FOR.fullmatch(name):
                message = f"header {quoted(entry.key)} is not the spec's to write: the connection and the service do"
                self._findings.add(Rule.VALUE, entry.mark, message)
            elif value is not None and not (value.isascii() and value.isprintable()):
                self._findings.add(Rule.TEXT, entry.node.mark, "a header's value is printable ASCII")
            elif value is not None and _PLACE.search(value):
                message = "a header's value is fixed; an argument goes into the path, the query or the body"
                self._findings.add(Rule.VALUE, entry.node.mark, message)
            elif value is not None:
                pairs.append((entry.key, value))
        return tuple(pairs)

    def _json(self, node: Node) -> BodyTemplate:
        if isinstance(node, Scalar) and node.value is None:
            self._findings.add(Rule.VALUE, node.mark, "`json` is `null`; leave it out where no body is sent")
        return self._body(node)

    def _body(self, node: Node) -> BodyTemplate:
        match node:
            case Scalar(value=str() as written):
                return self._template(written, node.mark, None, "")
            case Scalar(value=value):
                return value
            case Items(nodes=nodes):
                return [self._body(item) for item in nodes]
            case Entries(entries=entries):
                return {entry.key: self._body(entry.node) for entry in entries}
            case Broken():
                return None

    def _template(self, written: str, mark: Mark, types: frozenset[str] | None, sentence: str) -> str | Argument:
        place = _PLACE.fullmatch(written)
        if place:
            self._use(place[1], mark, types, sentence, is_required=False)
            return Argument(place[1])
        if inner := _PLACE.search(written):
            message = f"{quoted(inner[0])} stands within a text; a value is one whole `{{argument}}` or fixed text"
            self._findings.add(Rule.VALUE, mark, message)
        return written

    def _use(self, name: str, mark: Mark, types: frozenset[str] | None, sentence: str, *, is_required: bool) -> None:
        """Note that an argument is used, and whether it is one that fits the place."""
        self._used.add(name)
        properties, required = self._inputs.schema.get("properties"), self._inputs.schema.get("required")
        if name not in self._inputs.marks or not isinstance(properties, Mapping):
            message = f"there is no argument {quoted(name)}{suggestion(name, self._inputs.marks)}"
            self._findings.add(Rule.UNKNOWN_ARGUMENT, mark, message)
            return
        if types is not None and not types_of(properties[name]) <= types:
            self._findings.add(
                Rule.SCHEMA, self._inputs.marks[name], f"argument {quoted(name)} does not fit: {sentence}"
            )
        if is_required and not (isinstance(required, (list, tuple)) and name in required):
            message = f"argument {quoted(name)} is part of the path, so it is always required"
            self._findings.add(Rule.VALUE, self._inputs.marks[name], message)


def _response(node: Node, findings: Findings) -> HttpResponse:
    known = fields(node, _RESPONSE, findings)
    statuses = _statuses(known["status"].node, findings) if "status" in known else DEFAULT_STATUSES
    if "rows" in known and "columns" not in known:
        findings.add(Rule.VALUE, known["rows"].mark, "`rows` without `columns`: nothing would be taken of them")
    return HttpResponse(
        statuses=statuses,
        rows=_pointer(known["rows"].node, findings) if "rows" in known else (),
        columns=_columns(known["columns"].node, findings) if "columns" in known else (),
    )


def _statuses(node: Node, findings: Findings) -> tuple[int, ...]:
    accepted = "a list of statuses from 200 to 299"
    nodes = items(node, accepted, findings, most=20)
    found_ones = (integer(item, findings, least=200, most=299) for item in nodes)
    return tuple(status for status in found_ones if status is not None)


def _pointer(node: Node, findings: Findings) -> tuple[str, ...]:
    """Return the reference tokens of a JSON pointer (RFC 6901, section 3)."""
    written = scalar(node, "a JSON pointer such as `/items`", findings, str)
    if not isinstance(written, str) or not written:
        return ()
    if not written.startswith("/") or re.search(r"~(?![01])", written) or len(written) > 1_000:
        message = f"{found(node)} stands here; a JSON pointer such as `/items` or `/address/city` is accepted"
        findings.add(Rule.VALUE, node.mark, message)
        return ()
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in written[1:].split("/"))


def _columns(node: Node, findings: Findings) -> tuple[PickedColumn, ...]:
    entries = entries_of(node, "`columns`", findings)
    if not 0 < len(entries) <= MAX_COLUMNS and not isinstance(node, (Scalar, Items, Broken)):
        findings.add(Rule.VALUE, node.mark, f"{len(entries)} columns; 1 to {MAX_COLUMNS} are accepted")
    return tuple(_column(entry, findings) for entry in entries[:MAX_COLUMNS])


def _column(entry: Entry, findings: Findings) -> PickedColumn:
    if not entry.key.isprintable() or not 0 < len(entry.key) <= 128:
        findings.add(Rule.VALUE, entry.mark, f"column name {quoted(entry.key)}; 1 to 128 printable characters")
    known = fields(entry.node, _COLUMN, findings)
    kind = choice(known["type"].node, PICKED_TYPES, findings) if "type" in known else None
    return PickedColumn(
        name=entry.key,
        at=_pointer(known["at"].node, findings) if "at" in known else (),
        type=cast("PickedType", kind or "text"),
        is_required="required" not in known or boolean(known["required"].node, findings) is not False,
    )


def check_kind(known: Mapping[str, Entry], node: Node, kind: str, findings: Findings) -> None:
    """Note keys of the other kind of tool, and the absence of this one's."""
    others, needed = (("statement", "allow"), ("request",)) if kind == "http" else (("request", "response"), ())
    for key in others:
        if key in known:
            findings.add(Rule.KIND_OF_TOOL, known[key].mark, f"{quoted(key)} is no key of a tool of `kind: {kind}`")
    for key in needed:
        if key not in known:
            message = f"a tool of `kind: {kind}` needs the key {quoted(key)}, with {choices(REQUEST_KEYS[:2])} at least"
            findings.add(Rule.MISSING_KEY, node.mark, message)
