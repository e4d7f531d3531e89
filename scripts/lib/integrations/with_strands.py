"""Strands Agents: its MCP client starts the bridge."""

from __future__ import annotations

from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client
from strands.tools.mcp import MCPClient
from telling import asked_next, telling

with telling("strands-agents", "MCP, stdio") as told:
    words = ["mcp", "--plain-names", "--deployment", str(told.deployment), "--as", "agent"]
    bridge = StdioServerParameters(command=told.sandbox, args=words)
    with MCPClient(lambda: stdio_client(bridge)) as client:  # `Agent(tools=[client])` takes it as it is
        told.era = client._background_thread_session.protocol_version  # noqa: SLF001 - it has no other name
        told.check_listed([tool.tool_name for tool in client.list_tools_sync()])
        no = client.call_tool_sync("1", "shop__query", {"sql": asked_next(None)})
        assert no["status"] == "error"
        told.check_refused(no["content"][0]["text"])
        yes = client.call_tool_sync("2", "shop__query", {"sql": asked_next(no["content"][0]["text"])})
        assert yes["structuredContent"] == told.check_rows(yes["content"][0]["text"])
        receipts = [client.read_resource_sync(told.receipt_uri(each["metadata"])) for each in (no, yes)]
        told.check_receipts(*[receipt.contents[0].text for receipt in receipts])
