"""The MCP SDK's own client: over stdio, where it starts the bridge, and over Streamable HTTP; in both eras."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import httpx2
from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from telling import Telling, asked_next, telling

MODES: dict[str, Literal["auto", "legacy"]] = {"2026-07-28": "auto", "2025-11-25": "legacy"}


@asynccontextmanager
async def over_stdio(told: Telling) -> AsyncIterator[Client]:
    """Start the bridge as a host does."""
    words = ["mcp", "--deployment", str(told.deployment), "--as", "agent"]
    bridge = StdioServerParameters(command=told.sandbox, args=words)
    async with Client(stdio_client(bridge), mode=MODES[told.era]) as client:
        yield client


@asynccontextmanager
async def over_http(told: Telling) -> AsyncIterator[Client]:
    """Ask the HTTP door: the client's certificate and the token bound to it go with every request."""
    pki = told.deployment / "pki"
    tls = ssl.create_default_context(cafile=pki / "ca.pem")
    tls.load_cert_chain(pki / "clients" / "agent.pem", pki / "clients" / "agent.key")
    token = (told.deployment / "tokens" / "agent.jwt").read_text("utf-8").strip()
    async with httpx2.AsyncClient(verify=tls, headers={"authorization": f"Bearer {token}"}) as http:
        to = streamable_http_client(f"https://{told.http}/mcp", http_client=http)
        async with Client(to, mode=MODES[told.era]) as client:
            yield client


async def main(way: str, era: str) -> None:
    """Show the loop."""
    with telling("mcp", f"MCP, {way}", era) as told:
        async with {"stdio": over_stdio, "HTTP": over_http}[way](told) as client:
            assert client.protocol_version == era
            told.check_listed([tool.name for tool in (await client.list_tools()).tools])
            no = await client.call_tool("shop.query", {"sql": asked_next(None)})
            assert no.is_error
            told.check_refused(no.content[0].text)
            yes = await client.call_tool("shop.query", {"sql": asked_next(no.content[0].text)})
            assert yes.structured_content == told.check_rows(yes.content[0].text)
            receipts = [await client.read_resource(told.receipt_uri(answer.meta)) for answer in (no, yes)]
            told.check_receipts(*[receipt.contents[0].text for receipt in receipts])


asyncio.run(main(*sys.argv[4:]))
