"""Do both revisions of MCP get the service's own answers over HTTP, and nothing that is not theirs?"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from hashlib import sha256
from typing import Any, Final

import anyio
import httpx2
import mcp_types
import pytest
from https import Https, https_service
from mcp.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from test_mcp_bridge import COUNTED, ERAS, refusal, structured

from sandbox.audit.verify import verify_receipt
from sandbox.deployment import Deployment
from sandbox.doors.mcp import server
from sandbox.doors.mcp.results import META
from sandbox.doors.mcp.server import RECEIPTS

requirement = pytest.mark.requirement
PATIENCE_S = 60


@pytest.fixture
def https(deployment: Deployment) -> Iterator[Https]:
    with https_service(deployment) as made:
        yield made


def hosted(
    https: Https, talk: Callable[[McpClient], Coroutine[Any, Any, None]], mode: str, name: str = "agent"
) -> None:
    """Connect as a host does, and talk."""

    async def host() -> None:
        headers = {"authorization": f"Bearer {https.token(name)}"}
        with anyio.fail_after(PATIENCE_S):
            async with httpx2.AsyncClient(verify=https.context(name), headers=headers) as http:
                to = streamable_http_client(f"https://{https.address}/mcp", http_client=http)
                async with McpClient(to, mode=mode) as client:  # type: ignore[arg-type]
                    await talk(client)

    anyio.run(host)


@requirement("mcp:http:eras")
@pytest.mark.parametrize(("mode", "revision"), ERAS)
def test_a_host_lists_calls_mends_a_refusal_and_fetches_the_receipt(https: Https, mode: str, revision: str) -> None:
    async def talk(client: McpClient) -> None:
        assert client.protocol_version == revision
        assert [tool.name for tool in (await client.list_tools()).tools] == [
            "shop.order",
            "shop.order_by_id",
            "shop.query",
        ]
        refused = await client.call_tool("shop.query", {"sql": "DELETE FROM orders"})
        assert refused.is_error
        text = refused.content[0]
        assert isinstance(text, mcp_types.TextContent)
        assert text.text.startswith("SQL_NOT_READ_ONLY: the statement contains `DELETE`")

        answered = await client.call_tool("shop.query", {"sql": COUNTED})
        told = structured(answered)
        assert told["rows"] == [["EU", 12]]
        assert answered.meta is not None
        proof = answered.meta[META]
        uri = RECEIPTS.replace("{call_id}", proof["call_id"])
        resource = (await client.read_resource(uri)).contents[0]
        assert isinstance(resource, mcp_types.TextResourceContents)
        receipt = resource.text.encode()
        assert sha256(receipt).hexdigest() == proof["receipt_sha256"] == told["receipt_sha256"]
        key = (https.service.deployment.keys / "log.vkey").read_text().strip()
        assert verify_receipt(receipt, key).record.door == "mcp"

    hosted(https, talk, mode)


@requirement("mcp:http:others")
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_somebody_elses_receipt_is_not_there(https: Https, mode: str) -> None:
    made: list[str] = []

    async def call(client: McpClient) -> None:
        made.append(structured(await client.call_tool("shop.query", {"sql": COUNTED}))["call_id"])

    async def ask(client: McpClient) -> None:
        with pytest.raises(MCPError, match=r"CALL_UNKNOWN|POLICY_DENIED"):
            await client.read_resource(RECEIPTS.replace("{call_id}", made[0]))

    hosted(https, call, mode)
    hosted(https, ask, mode, "reviewer")


@requirement("mcp:http:mismatch")
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("mcp-method", "tools/list"),
        ("mcp-name", "shop.order"),
        ("mcp-protocol-version", "2026-07-29"),
        ("accept", "text/html"),
        ("content-type", "text/plain"),
    ],
)
def test_headers_that_say_something_else_than_the_body_are_refused(header: str, value: str, https: Https) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    params = {"name": "shop.query", "arguments": {"sql": COUNTED}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = https.headers() | {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "shop.query",
    }
    assert https.ask("/mcp", body, headers).json["result"]["structuredContent"]["rows"] == [["EU", 12]]

    reply = https.ask("/mcp", body, headers | {header: value})

    assert 400 <= reply.status < 500
    records = https.ask("/sandbox.v1.ExecutionLogService/ListRecords", {"tool": "shop.query"}, name="reviewer").json
    assert len(records["records"]) == 1


@requirement("mcp:http:mismatch")
def test_a_body_that_says_a_key_twice_is_refused(https: Https) -> None:
    reply = https.ask("/mcp", '{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "method": "tools/call"}')

    assert (reply.status, reply.json["error"]["message"]) == (400, "the body says a key twice; once is accepted")


LONG: Final = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@requirement("mcp:calls:progress")
@pytest.mark.parametrize(("mode", "_"), ERAS)
def test_who_asks_for_progress_hears_how_long_a_call_has_run(
    https: Https, mode: str, _: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "TELL_EVERY_S", 0.1)
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert (total, message) == (None, "seconds it has run")
        heard.append(progress)

    async def talk(client: McpClient) -> None:
        ended = await client.call_tool("shop.query", {"sql": LONG}, progress_callback=hear)
        assert refusal(ended)["reason"] == "EXECUTION_TIMED_OUT"
        unheard = await client.call_tool("shop.query", {"sql": COUNTED}, progress_callback=hear)
        assert not unheard.is_error

    hosted(https, talk, mode)

    assert len(heard) > 5
    assert heard == sorted(heard)


@requirement("mcp:list:changed")
def test_who_listens_hears_of_a_reload_and_is_let_go_at_the_end(deployment: Deployment) -> None:
    spec = deployment.toolspecs / "shop.order.yaml"
    with https_service(deployment) as https:
        house = https.service.house  # type: ignore[union-attr]  # one process

        async def talk(client: McpClient) -> None:
            async with client.listen(tools_list_changed=True) as events:
                spec.write_text(spec.read_text().replace("version: 1.0.0", "version: 1.0.1"))
                await anyio.to_thread.run_sync(house.reload)
                async for event in events:
                    assert type(event).__name__ == "ToolsListChanged"
                    break

        hosted(https, talk, "auto")


@requirement("mcp:list:changed")
def test_who_listens_does_not_hold_up_the_end(deployment: Deployment) -> None:
    ended: list[bool] = []
    with ExitStack() as service:
        https = service.enter_context(https_service(deployment))

        async def talk(client: McpClient) -> None:
            async with client.listen(tools_list_changed=True) as events:
                await anyio.to_thread.run_sync(service.close)
                async for _ in events:
                    raise AssertionError
                ended.append(True)

        with suppress(Exception):  # how a client tells that a server has gone is its own
            hosted(https, talk, "auto")

    assert ended
