"""LlamaIndex: a tool spec whose client starts the bridge, as `sandbox connect llamaindex` prints it."""

from __future__ import annotations

import asyncio

from telling import asked_next, telling


async def main() -> None:
    """List, and call as an agent would; the model reads the whole result, written as Python writes it."""
    with telling("llama-index-tools-mcp", "MCP, stdio") as told:
        spec = told.snippet("llamaindex")["tools"]
        tools = await spec.to_tool_list_async()
        told.check_listed([tool.metadata.name for tool in tools])
        query = next(tool for tool in tools if tool.metadata.name == "shop__query")
        no = await query.acall(sql=asked_next(None))
        assert no.raw_output.is_error
        told.check_refused(no.content)
        yes = await query.acall(sql=asked_next(no.content))
        assert str(told.check_rows(yes.raw_output.structured_content)) in yes.content
        metas = [each.raw_output.meta for each in (no, yes)]
        receipts = [await spec.client.read_resource(told.receipt_uri(meta)) for meta in metas]
        told.check_receipts(*[receipt.contents[0].text for receipt in receipts])
        async with spec.client._run_session() as session:  # noqa: SLF001 - as it makes one for each call
            told.era = session.protocol_version


asyncio.run(main())
