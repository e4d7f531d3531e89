"""Does an MCP host that starts `sandbox mcp` get the service's own answers, in both eras of the protocol?"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any, Final, Literal

import anyio
import mcp_types
import pytest
from command_line import CommandLine
from conftest import Service
from mcp import StdioServerParameters
from mcp.client import Client as McpClient
from mcp.client.stdio import stdio_client
from mcp.shared.exceptions import MCPError

from sandbox.audit.verify import verify_receipt
from sandbox.doors.mcp.results import META, REFUSAL
from sandbox.doors.mcp.server import RECEIPTS
from sandbox.executors.sqlite import SqliteExecutor

requirement = pytest.mark.requirement
ERAS: Final[tuple[tuple[Literal["auto", "legacy"], str], ...]] = (("auto", "2026-07-28"), ("legacy", "2025-11-25"))
COUNTED: Final = "SELECT region, count(*) AS n FROM orders GROUP BY region"
PATIENCE_S: Final = 60
ENDLESS: Final = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def hosted(
    service: Service, talk: Callable[[McpClient], Coroutine[Any, Any, None]], mode: str = "auto", *more: str
) -> None:
    """Start the bridge as a host does, and talk to it."""
    words = ["-m", "sandbox.cli.main", "mcp", "--deployment", str(service.deployment.root), *more]

    async def host() -> None:
        with anyio.fail_after(PATIENCE_S):
            started = stdio_client(StdioServerParameters(command=sys.executable, args=words))
            async with McpClient(started, mode=mode) as client:  # type: ignore[arg-type]
                await talk(client)

    anyio.run(host)


def key_of(service: Service) -> str:
    return (service.deployment.keys / "log.vkey").read_text().strip()


def structured(result: mcp_types.CallToolResult) -> dict[str, Any]:
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def refusal(result: mcp_types.CallToolResult) -> dict[str, Any]:
    assert result.meta is not None
    facts: dict[str, Any] = result.meta[REFUSAL]
    return facts


@requirement("mcp:bridge:eras")
@pytest.mark.parametrize(("mode", "revision"), ERAS)
def test_a_host_lists_calls_mends_a_refusal_and_fetches_the_receipt(service: Service, mode: str, revision: str) -> None:
    async def talk(client: McpClient) -> None:
        assert client.protocol_version == revision
        assert client.server_capabilities is not None
        assert client.server_capabilities.resources is not None
        assert (await client.list_resources()).resources == []
        assert [t.uri_template for t in (await client.list_resource_templates()).resource_templates] == [RECEIPTS]
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["shop.order", "shop.order_by_id", "shop.query"]
        query = tools[-1]
        assert query.annotations is not None
        assert (query.annotations.read_only_hint, query.annotations.destructive_hint) == (True, False)
        assert query.output_schema is not None

        refused = await client.call_tool("shop.query", {"sql": "DELETE FROM orders"})
        assert (refused.is_error, refused.structured_content) == (True, None)
        assert refusal(refused)["reason"] == "SQL_NOT_READ_ONLY"
        text = refused.content[0]
        assert isinstance(text, mcp_types.TextContent)
        assert text.text.startswith("SQL_NOT_READ_ONLY: the statement contains `DELETE`")
        assert text.text.endswith("(line 1, column 1 of the text)")

        result = await client.call_tool(
            "shop.query", {"sql": "SELECT region, count(*) AS n FROM orders GROUP BY region"}
        )
        told = structured(result)
        assert (result.is_error, told["rows"], [c["name"] for c in told["columns"]]) == (
            False,
            [["EU", 12]],
            ["region", "n"],
        )
        shown = result.content[0]
        assert isinstance(shown, mcp_types.TextContent)
        assert json.loads(shown.text) == told
        assert result.meta is not None
        assert result.meta[META] == {"call_id": told["call_id"], "receipt_sha256": told["receipt_sha256"]}

        found = (await client.read_resource(f"sandbox://calls/{told['call_id']}/receipt")).contents[0]
        assert isinstance(found, mcp_types.TextResourceContents)
        receipt = found.text.encode()
        assert verify_receipt(receipt, key_of(service)).record.call_id == told["call_id"]
        with pytest.raises(MCPError, match="CALL_UNKNOWN"):
            await client.read_resource("sandbox://calls/01a22736-6b0a-76ab-bd14-26b9883026a3/receipt")

    hosted(service, talk, mode)


@requirement("mcp:bridge:digest")
def test_the_digest_is_that_of_the_receipt_as_it_came(service: Service) -> None:
    told: dict[str, Any] = {}

    async def talk(client: McpClient) -> None:
        result = await client.call_tool("shop.order", {"id": 1})
        told.update(structured(result))
        told["receipt"] = (await client.read_resource(f"sandbox://calls/{told['call_id']}/receipt")).contents[0]

    hosted(service, talk)
    assert verify_receipt(told["receipt"].text.encode(), key_of(service)).record.call_id == told["call_id"]
    # The receipt is made anew when it is asked for, over a tree that may have grown: the first one's digest was told.
    assert told["receipt_sha256"] == sha256(told["receipt"].text.encode()).hexdigest()


@requirement("mcp:bridge:cancelled")
@pytest.mark.parametrize(("mode", "revision"), ERAS)
def test_a_call_that_the_host_cancels_stops_at_the_engine(service: Service, mode: str, revision: str) -> None:
    ended = threading.Event()
    run = SqliteExecutor.run

    def watched(self: SqliteExecutor, *given: Any) -> Any:
        try:
            return run(self, *given)
        except BaseException:
            ended.set()
            raise

    async def talk(client: McpClient) -> None:
        assert client.protocol_version == revision
        with anyio.move_on_after(1):
            await client.call_tool("shop.query", {"sql": ENDLESS})
        assert not (await client.call_tool("shop.order", {"id": 1})).is_error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteExecutor, "run", watched)
        hosted(service, talk, mode)
        assert ended.wait(3)  # the tool's own limit is 5 s


@requirement("mcp:bridge:names")
def test_a_host_that_takes_no_dots_gets_none(service: Service) -> None:
    async def talk(client: McpClient) -> None:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["shop__order", "shop__order_by_id", "shop__query"]
        assert structured(await client.call_tool("shop__order", {"id": 1}))["row_count"] == 1
        unknown = refusal(await client.call_tool("shop__nothing", {}))
        assert unknown["reason"] == "TOOL_UNKNOWN"
        near = refusal(await client.call_tool("shop__qery", {}))
        assert near["message"].endswith("did you mean `shop__query`?")

    hosted(service, talk, "auto", "--plain-names")


@requirement("mcp:bridge:renewed")
def test_a_token_that_is_renewed_is_used_by_the_next_call(service: Service) -> None:
    token = service.deployment.tokens / "agent.jwt"
    good = token.read_text()

    async def talk(client: McpClient) -> None:
        assert not (await client.call_tool("shop.order", {"id": 1})).is_error
        token.write_text("x.y.z")
        stranger = await client.call_tool("shop.order", {"id": 1})
        assert refusal(stranger)["reason"] == "CREDENTIAL_INVALID"
        token.write_text(good)
        assert not (await client.call_tool("shop.order", {"id": 1})).is_error

    hosted(service, talk)


@requirement("mcp:bridge:renewed")
def test_a_call_that_runs_while_the_token_is_renewed_is_answered(service: Service, sandbox: CommandLine) -> None:
    begun = threading.Event()
    run = SqliteExecutor.run

    def watched(self: SqliteExecutor, *given: Any) -> Any:
        begun.set()
        return run(self, *given)

    async def talk(client: McpClient) -> None:
        answers: list[mcp_types.CallToolResult] = []

        async def call() -> None:
            answers.append(await client.call_tool("shop.query", {"sql": ENDLESS}))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            assert await anyio.to_thread.run_sync(begun.wait, PATIENCE_S)
            await anyio.to_thread.run_sync(sandbox.run, "token", "new", "agent")
            assert not (await client.call_tool("shop.order", {"id": 1})).is_error
            assert not answers, "it still runs"
        assert refusal(answers[0])["reason"] == "EXECUTION_TIMED_OUT"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteExecutor, "run", watched)
        hosted(service, talk)


@requirement("mcp:bridge:absent")
def test_an_identity_that_is_not_there_ends_the_bridge_with_a_sentence(sandbox: CommandLine) -> None:
    ended = sandbox.run("mcp", "--as", "nobody")

    assert (ended.code, ended.out) == (4, "")
    assert "clients/nobody.pem: there is no such file" in ended.err


@requirement("mcp:bridge:absent")
def test_without_a_service_each_call_says_so(service: Service) -> None:
    service.deployment.address.unlink()

    async def talk(client: McpClient) -> None:
        with pytest.raises(MCPError, match=r"the service over .* is stopping, or not up yet"):
            await client.call_tool("shop.order", {"id": 1})
        with pytest.raises(MCPError, match="is stopping, or not up yet"):
            await client.list_tools()

    hosted(service, talk)


@requirement("mcp:list:changed")
def test_a_host_hears_that_there_are_other_tools(service: Service) -> None:
    spec = service.deployment.toolspecs / "shop.order.yaml"
    text = spec.read_text()

    def change(version: str) -> None:
        spec.write_text(text.replace("version: 1.0.0", f"version: {version}"))
        service.house.reload()

    async def talk(client: McpClient) -> None:
        assert await client.list_tools()
        async with client.listen(tools_list_changed=True) as events:
            await anyio.to_thread.run_sync(change, "1.0.1")
            async for event in events:
                assert type(event).__name__ == "ToolsListChanged"
                break

    hosted(service, talk)


@requirement("mcp:list:changed")
def test_a_host_of_before_hears_it_too(service: Service) -> None:
    spec = service.deployment.toolspecs / "shop.order.yaml"
    heard = anyio.Event()
    words = ["-m", "sandbox.cli.main", "mcp", "--deployment", str(service.deployment.root)]

    async def hear(message: object) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            heard.set()

    def change() -> None:
        spec.write_text(spec.read_text().replace("version: 1.0.0", "version: 1.0.1"))
        service.house.reload()

    async def host() -> None:
        started = stdio_client(StdioServerParameters(command=sys.executable, args=words))
        with anyio.fail_after(PATIENCE_S):
            async with McpClient(started, mode="legacy", message_handler=hear) as client:
                assert client.server_capabilities is not None
                assert client.server_capabilities.tools is not None
                assert client.server_capabilities.tools.list_changed
                await client.list_tools()
                await anyio.to_thread.run_sync(change)
                await heard.wait()

    anyio.run(host)
