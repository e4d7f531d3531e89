"""Who starts workers, starts a dead one again, and ends them all? One process, which serves nobody itself."""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, final

from sandbox.endings import SAME_ENDING_S, Endings
from sandbox.presence import Addresses, alone, announced, deployment_in, parsed_address, taken
from sandbox.settings import read_settings
from sandbox.telemetry.events import note, take_libraries, warn
from sandbox.workers.crew import Crew, Worker
from sandbox.workers.orders import DRAIN, HURRY

FIRST_RESTART_S: Final = 0.1
"""When a worker that died is started again; each further time waits twice as long."""
MAX_RESTART_S: Final = 30.0
SETTLED_S: Final = 60.0
"""A worker that lived for so long begins anew at the first."""

NOT_STARTED: Final = 5
"""The exit code (a fault) where a worker was killed, or could not be started, before the service was ready."""


def serve_with_workers(root: Path, *, listen: str, grace_s: float, workers: int) -> None:
    """Serve with several processes until SIGTERM, SIGINT or SIGHUP, whose second ends the grace; see `sandbox serve`.

    Raises `SystemExit` with the exit code of a worker that ended before all were ready; it has told why on stderr.
    """
    endings = Endings()
    take_libraries()
    deployment = deployment_in(root)
    with ExitStack() as stack:
        lock = stack.enter_context(alone(deployment))
        settings, _ = read_settings(deployment.settings)
        http = stack.enter_context(_held(settings.http.listen, "http.listen")) if settings.http.listen else ""
        addresses = Addresses(stack.enter_context(_held(listen or settings.server.listen, "server.listen")), http)
        crew = stack.enter_context(Crew(deployment.root, addresses, grace_s, workers, lock))
        parent = stack.enter_context(_Parent(crew, endings, grace_s))
        if parent.start():
            with announced(deployment, addresses.grpc):
                tools = crew.workers[0].tools
                sys.stdout.write(f"ready {addresses.told} tools={tools} pid={os.getpid()} workers={workers}\n")
                sys.stdout.flush()
                parent.watch()
        parent.finish()
    if parent.exit_code:
        raise SystemExit(parent.exit_code)


@contextmanager
def _held(listen: str, key: str) -> Iterator[str]:
    """Hold a port for the workers, without listening, and yield its address; raises `Misconfigured` if it is taken."""
    host, port = parsed_address(listen, key)
    with ExitStack() as stack:
        try:
            places = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
            for family, kind, protocol, _, place in places:  # a name may have several, which workers all take
                held = stack.enter_context(socket.socket(family, kind, protocol))
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before may linger
                # INVARIANT: shared only once it is ours: shared before, it would be ours beside somebody else's.
                held.bind((place[0], port, *place[2:]))
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                port = held.getsockname()[1]
        except OSError as error:
            raise taken(listen, error, key) from error
        yield f"{host}:{port}"


@final
class _Parent:
    """What happens to a crew: one thread that waits for all of it."""

    def __init__(self, crew: Crew, endings: Endings, grace_s: float) -> None:
        self.exit_code = 0
        self._crew = crew
        self._endings = endings
        self._grace_s = grace_s
        self._selector = selectors.DefaultSelector()
        self._selector.register(endings, selectors.EVENT_READ)
        self._ended_at: float | None = None
        """When the first signal to end came."""
        self._is_hurried = self._is_draining = False
        self._restart_at: dict[Worker, float] = {}
        self._delay_s: dict[Worker, float] = {}

    def __enter__(self) -> _Parent:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def start(self) -> bool:
        """Start all workers; whether all are ready. One serves before the others, for it may have a log to make."""
        if not all(self._is_started(worker) for worker in self._crew.workers):
            self.exit_code = NOT_STARTED
            self._drain()
            return False
        first, *others = self._crew.workers
        for workers in ([first], others):
            for worker in workers:
                self._crew.order(worker)
            while not all(worker.is_ready for worker in workers):
                self._wait()
                if self._is_ending or not all(worker.is_alive for worker in workers):
                    self._drain()
                    return False
        return True

    def watch(self) -> None:
        """Start workers that die again, until told to end."""
        while not self._is_ending:
            self._wait()
            now = time.monotonic()
            for worker in [worker for worker, at in self._restart_at.items() if at <= now]:
                del self._restart_at[worker]
                if self._is_started(worker):
                    self._crew.order(worker)
        note("draining", grace_s=self._grace_s, hint="another signal ends it at once")
        self._drain()

    def finish(self) -> None:
        """Wait until the last worker has ended."""
        self._restart_at.clear()
        while any(worker.is_alive for worker in self._crew.workers):
            self._wait()

    @property
    def _is_ending(self) -> bool:
        return self._ended_at is not None

    def _is_started(self, worker: Worker) -> bool:
        """Start a worker; where the system gives no process or descriptor it is to be tried again."""
        try:
            self._crew.start(worker)
        except OSError as error:
            again_in_s = self._again_in_s(worker, 0.0)
            warn("a worker cannot be started", worker=worker.number, error=str(error), again_in_s=again_in_s)
            return False
        self._selector.register(worker.life, selectors.EVENT_READ, worker)
        self._selector.register(worker.told, selectors.EVENT_READ, worker)
        return True

    def _drain(self) -> None:
        self._is_draining = True
        self._crew.tell(DRAIN)

    def _wait(self) -> None:
        """Wait for whatever comes next, and take it."""
        timeout_s = min(self._restart_at.values(), default=None)
        if timeout_s is not None:
            timeout_s = max(0.0, timeout_s - time.monotonic())
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                self._end()
            elif key.fd == key.data.life:
                self._bury(key.data)
            elif key.data.is_alive and not key.data.hear():
                self._selector.unregister(key.data.told)

    def _end(self) -> None:
        self._endings.wait()
        now = time.monotonic()
        if self._ended_at is None:
            self._ended_at = now
        elif now - self._ended_at >= SAME_ENDING_S and not self._is_hurried:
            self._is_hurried = True
            note("ending at once")
            self._crew.tell(HURRY)

    def _bury(self, worker: Worker) -> None:
        """Take note of a worker's end: what it held is free, and another takes its place."""
        was_ready, lived_s = worker.is_ready, time.monotonic() - worker.started_at
        for file in (worker.life, worker.told):
            if file in self._selector.get_map():
                self._selector.unregister(file)
        code = self._crew.bury(worker)
        if self._is_draining:
            return
        if not was_ready and worker not in self._delay_s:
            self.exit_code = code if code > 0 else NOT_STARTED
            warn("a worker did not start", worker=worker.number, exit_code=code)
            return
        again_in_s = self._again_in_s(worker, lived_s)
        warn("a worker ended", worker=worker.number, exit_code=code, again_in_s=again_in_s)

    def _again_in_s(self, worker: Worker, lived_s: float) -> float:
        """Have a worker started again, ever more rarely unless it had settled; returns in how many seconds."""
        settled = lived_s >= SETTLED_S or worker not in self._delay_s
        delay_s = FIRST_RESTART_S if settled else min(self._delay_s[worker] * 2, MAX_RESTART_S)
        self._delay_s[worker] = delay_s
        self._restart_at[worker] = time.monotonic() + delay_s
        return delay_s
