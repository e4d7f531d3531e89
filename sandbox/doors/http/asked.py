"""What is known of a request once its head and its body are in, and how is it taken to the services behind the door?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar, final

from sandbox.doors.http.connection import Peer
from sandbox.doors.http.head import Headers
from sandbox.doors.tool_service import ToolService, deadline_in
from sandbox.doors.wire import execute_response
from sandbox.stages import Cancellation, Credential
from sandbox.v1 import tool_execution_pb2 as pb

Value = TypeVar("Value")


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """One request of somebody whose token bears our signature."""

    path: str
    headers: Headers
    body: bytes
    credential: Credential
    peer: Peer
    threads: Executor

    async def on_a_thread(self, work: Callable[[], Value]) -> Value:
        """Do what may block on a thread of the door's own."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def execute(
        self, service: ToolService, request: pb.ExecuteRequest, within_s: float | None = None
    ) -> pb.ExecuteResponse:
        """Take a call to its sealed answer; whoever hangs up, or stops waiting, stops it at the engine."""
        cancellation = Cancellation(None if within_s is None else deadline_in(within_s))
        stop = cancellation.cancel
        self.peer.gone.on_cancel(stop)
        try:
            return await self.on_a_thread(
                lambda: execute_response(service.take(request, self.credential, cancellation).wait())
            )
        except asyncio.CancelledError:
            stop()
            raise
        finally:
            self.peer.gone.forget(stop)


@final
@dataclass(frozen=True, slots=True)
class Answered:
    """What goes back."""

    body: bytes
    content_type: bytes
    status: int = 200
