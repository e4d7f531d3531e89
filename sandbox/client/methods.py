"""Which RPCs does the client speak? Typed callables over a channel, for threads and for asyncio."""

from __future__ import annotations

from typing import Final, final

import grpc
import grpc.aio

from sandbox.v1 import tool_execution_pb2 as pb

SERVICE: Final = "/sandbox.v1.ToolExecutionService/"


@final
class Methods:
    """The unary RPCs over a channel for threads."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Bind to `channel`."""
        self.execute = channel.unary_unary(
            SERVICE + "Execute", pb.ExecuteRequest.SerializeToString, pb.ExecuteResponse.FromString
        )
        self.list_tools = channel.unary_unary(
            SERVICE + "ListTools", pb.ListToolsRequest.SerializeToString, pb.ListToolsResponse.FromString
        )
        self.get_call = channel.unary_unary(
            SERVICE + "GetCall", pb.GetCallRequest.SerializeToString, pb.GetCallResponse.FromString
        )
        self.cancel_call = channel.unary_unary(
            SERVICE + "CancelCall", pb.CancelCallRequest.SerializeToString, pb.CancelCallResponse.FromString
        )


@final
class AioMethods:
    """The unary RPCs over a channel for asyncio."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Bind to `channel`."""
        self.execute = channel.unary_unary(
            SERVICE + "Execute", pb.ExecuteRequest.SerializeToString, pb.ExecuteResponse.FromString
        )
        self.list_tools = channel.unary_unary(
            SERVICE + "ListTools", pb.ListToolsRequest.SerializeToString, pb.ListToolsResponse.FromString
        )
        self.get_call = channel.unary_unary(
            SERVICE + "GetCall", pb.GetCallRequest.SerializeToString, pb.GetCallResponse.FromString
        )
        self.cancel_call = channel.unary_unary(
            SERVICE + "CancelCall", pb.CancelCallRequest.SerializeToString, pb.CancelCallResponse.FromString
        )
