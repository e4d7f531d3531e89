"""What if what answers as PostgreSQL hangs, floods or lies? A man in the middle on a unix socket of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

_SOCKET = ".s.PGSQL.5432"


@final
class Proxy:
    """Hands bytes on, changed as the test says."""

    def __init__(self, server: Path, own: Path) -> None:
        self.folder = own
        self.to_server: Callable[[bytes], bytes] = lambda same: same
        self.to_client: Callable[[bytes], bytes] = lambda same: same
        self.is_silent = threading.Event()
        """From here on nothing is handed on, either way, and nobody is told."""
        self.flood = b""
        """What the client gets again and again, instead of the server's next answer."""
        self.accepted = 0
        self._server = server / _SOCKET
        self._open: list[socket.socket] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(own / _SOCKET))
        self._listening.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.accepted += 1
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._open += [client, server]
                for pump in (self._up, self._down):
                    thread = threading.Thread(target=pump, args=(client, server))
                    self._threads.append(thread)
                    thread.start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while received := client.recv(65536):
                if not self.is_silent.is_set():
                    server.sendall(self.to_server(received))
            server.shutdown(socket.SHUT_WR)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while received := server.recv(65536):
                while self.flood:
                    client.sendall(self.flood)
                if not self.is_silent.is_set():
                    client.sendall(self.to_client(received))
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def between(server: Path, own: Path) -> Iterator[Proxy]:
    """Stand between a client and the server whose socket lies in `server`, at a socket in the folder `own`."""
    proxy = Proxy(server, own)
    try:
        yield proxy
    finally:
        proxy.flood = b""
        proxy.close()
