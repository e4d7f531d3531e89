"""Which requests have reached the target, and how often? A server that counts, and the HTTP tools that ask it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, final

from sandbox.deployment import Deployment

READ_TOOL: Final = "count.read"
WRITE_TOOL: Final = "count.write"
HELD_S: Final = 0.05
"""Between an effect and its answer: long enough for a kill to come in between now and then."""

_CONNECTION: Final = """
[count]
engine = "http"
base_url = "http://127.0.0.1:{port}"
allow_plain = true
networks = ["127.0.0.1/32"]
ceiling = {{methods = ["GET", "POST"], paths = ["/notes", "/notes/*"]}}
"""
_READ_SPEC: Final = """\
spec: tool/v1
name: count.read
version: 1.0.0
owner: count@example.com
summary: How often a note was written.
kind: http
effects: read
connection: count
input: {key: {type: string}}
request: {method: GET, path: "/notes/{key}"}
response:
  columns:
    written: {at: /written, type: integer}
limits: {seconds: 5}
examples:
  - call: {key: never}
    expect: {rows: [[0]]}
"""
_WRITE_SPEC: Final = """\
spec: tool/v1
name: count.write
version: 1.0.0
owner: count@example.com
summary: Writes a note.
kind: http
effects: write
connection: count
input: {key: {type: string}}
request: {method: POST, path: /notes, json: {key: "{key}"}}
response: {status: [201]}
limits: {seconds: 5}
examples:
  - call: {key: example}
    expect: {rows: [[201]]}
"""


@final
class Counted:
    """How often each key has been written."""

    def __init__(self) -> None:
        """Nothing has been written."""
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, key: str) -> None:
        """Count one more."""
        with self._lock:
            self._times[key] += 1

    def times(self) -> dict[str, int]:
        """Return every key that was written, and how often."""
        with self._lock:
            return dict(self._times)


@final
class _Server(ThreadingHTTPServer):
    """Answers on loopback; each connection in a thread of its own."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, counted: Counted) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.counted = counted
        self.over = threading.Event()
        """Set when nobody needs an answer any more."""

    def handle_error(self, *_: object) -> None:
        """Say nothing of a caller who was killed in the middle of a request: it had no effect."""


@final
class _Answering(BaseHTTPRequestHandler):
    """`POST /notes` counts once the whole request is there, then answers; `GET /notes/KEY` tells."""

    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.counted.add(json.loads(body)["key"])
        self.server.over.wait(HELD_S)
        self._reply(201, b"")

    def do_GET(self) -> None:
        key = self.path.removeprefix("/notes/")
        self._reply(200, json.dumps({"written": self.server.counted.times().get(key, 0)}).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Keep quiet: what is counted is what is told."""

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def counting(deployment: Deployment) -> Iterator[Counted]:
    """Run the server for the block, with a connection and two tools that lead to it in `deployment`."""
    server = _Server(Counted())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with deployment.connections.open("a", encoding="utf-8") as file:
            file.write(_CONNECTION.format(port=server.server_address[1]))
        for name, spec in ((READ_TOOL, _READ_SPEC), (WRITE_TOOL, _WRITE_SPEC)):
            (deployment.toolspecs / f"{name}.yaml").write_text(spec, "utf-8")
        yield server.counted
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
