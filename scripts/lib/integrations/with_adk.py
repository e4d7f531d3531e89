"""Google's Agent Development Kit: a toolset that starts the bridge, as `sandbox connect adk` prints it."""

from __future__ import annotations

import asyncio
from typing import Any

from telling import asked_next, telling


async def main() -> None:
    """List, and call as an agent would; the model reads the whole result."""
    with telling("google-adk", "MCP, stdio") as told:
        toolset = told.snippet("adk")["tools"]
        try:
            tools = await toolset.get_tools()
            told.check_listed([tool.name for tool in tools])
            query = next(tool for tool in tools if tool.name == "shop__query")

            async def call(sql: str | None) -> dict[str, Any]:
                result: dict[str, Any] = await query.run_async(args={"sql": sql}, tool_context=None)
                return result

            no = await call(asked_next(None))
            assert no["isError"]
            told.check_refused(no["content"][0]["text"])
            yes = await call(asked_next(no["content"][0]["text"]))
            assert yes["structuredContent"] == told.check_rows(yes["content"][0]["text"])
            session = await toolset._mcp_session_manager.create_session()  # noqa: SLF001 - that of the calls
            told.era = session.protocol_version
            receipts = [await session.read_resource(told.receipt_uri(each["meta"])) for each in (no, yes)]
            told.check_receipts(*[receipt.contents[0].text for receipt in receipts])
        finally:
            await toolset.close()


asyncio.run(main())
