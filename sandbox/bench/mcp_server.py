"""What MCP costs without us: the bare SDK, or `fastmcp`, doing the bench's read over Streamable HTTP without a check.

Run as a file by whatever Python has the package: it knows nothing of ours, and runs where we are not installed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import sys
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

READ: Final = "SELECT id, customer_id, region, cents, placed_on FROM orders WHERE id = ?"
NAME: Final = "bench.order_by_id"


def main(kind: str, database: str, certificate: str, key: str) -> None:
    """Serve until stdin closes: `mcp` or `fastmcp`."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, check_same_thread=False)

    def read(order: int) -> dict[str, object]:
        rows = connection.execute(READ, (order,)).fetchall()
        return {"columns": ["id", "customer_id", "region", "cents", "placed_on"], "rows": rows, "row_count": len(rows)}

    app = {"mcp": _bare, "fastmcp": _fast}[kind](read)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, ssl_certfile=certificate, ssl_keyfile=key, log_level="warning", http="h11", ws="none", loop="asyncio"
    )
    server = uvicorn.Server(config)
    threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True).start()
    sys.stdout.write(f"ready grpc=127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


def _bare(read: Callable[[int], dict[str, object]]) -> object:
    from mcp.server.lowlevel.server import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool
    from starlette.applications import Starlette
    from starlette.routing import Mount

    schema = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}

    async def list_tools(_: object, __: object) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name=NAME, input_schema=schema)])

    async def call_tool(_: object, params: object) -> CallToolResult:
        body = read(params.arguments["id"])  # type: ignore[attr-defined]
        return CallToolResult(content=[TextContent(type="text", text=json.dumps(body))], structured_content=body)

    server: Server[dict[str, object]] = Server(NAME, on_list_tools=list_tools, on_call_tool=call_tool)
    manager = StreamableHTTPSessionManager(server, stateless=True)

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    return Starlette(routes=[Mount("/mcp", app=manager.handle_request)], lifespan=running)


def _fast(read: Callable[[int], dict[str, object]]) -> object:
    from fastmcp import FastMCP

    server = FastMCP(NAME)

    @server.tool(name=NAME)
    def order_by_id(id: int) -> dict[str, object]:  # noqa: A002 - the argument's name
        return read(id)

    return server.http_app(path="/mcp/", stateless_http=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
