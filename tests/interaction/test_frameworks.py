"""Do agent frameworks take the client's tools, and does a program get the verified answer of each call?"""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, get_type_hints

import anyio
import pytest
from agents.tool_context import ToolContext
from agents.usage import Usage
from conftest import Service
from langchain_core.messages import ToolMessage
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from sandbox.audit.verify import verify_receipt
from sandbox.client import (
    AsyncClient,
    AsyncClientTool,
    Client,
    ClientTool,
    NotAuthenticated,
    Refusal,
    Result,
    Tool,
    Unavailable,
)
from sandbox.client.frameworks.openai_agents import ToldText, is_strict
from sandbox.doors.mcp.results import call_result
from sandbox.executors.sqlite import SqliteExecutor
from sandbox.v1 import tool_execution_pb2 as pb

requirement = pytest.mark.requirement
COUNTED: Final = {"sql": "SELECT count(*) AS n FROM orders"}
DELETED: Final = {"sql": "DELETE FROM orders"}
TOLD_NO: Final = (
    "SQL_NOT_READ_ONLY: the statement contains `DELETE`; this tool runs a single `SELECT`"
    " (line 1, column 1 of the text)"
)
ENDLESS: Final = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def query_of(client: Client) -> ClientTool:
    return next(tool for tool in client.tools() if tool.name == "shop.query")


def in_a_loop(service: Service, talk: Callable[[AsyncClientTool], Coroutine[Any, Any, None]]) -> None:
    async def host() -> None:
        async with AsyncClient(service.address, service.identity()) as client:
            await talk(next(tool for tool in await client.tools() if tool.name == "shop.query"))

    asyncio.run(host())


def check_proven(service: Service, answer: object, text: str) -> None:
    """The answer's receipt verifies offline, and the text is of that very call."""
    assert isinstance(answer, Result | Refusal)
    assert answer.receipt is not None
    key = (service.deployment.keys / "log.vkey").read_text().strip()
    assert verify_receipt(answer.receipt.text, key).record.call_id == answer.call_id
    assert isinstance(answer, Refusal) or json.loads(text)["call_id"] == answer.call_id


@requirement("client:tools:called")
def test_a_tool_is_called_by_itself(service: Service, client: Client) -> None:
    tool = query_of(client)

    assert isinstance(tool, Tool)
    assert (tool.plain_name, tool.effects) == ("shop__query", "read")
    assert tool.description.startswith(f"{tool.summary}\nUse when: {tool.use_when}\nExample: ")
    assert isinstance(tool.call(COUNTED), Result)
    assert isinstance(tool.call('{"sql": "SELECT 1", "sql": "SELECT 2"}'), Refusal)

    async def talk(tool: AsyncClientTool) -> None:
        assert isinstance(await tool.call(COUNTED), Result)

    in_a_loop(service, talk)


@requirement("client:tools:frameworks")
def test_langchain_gets_text_for_its_model_and_the_answer_as_artifact(service: Service, client: Client) -> None:
    def messages(invoke: Callable[[dict[str, Any]], Any]) -> tuple[ToolMessage, ToolMessage]:
        asked = [{"name": "shop__query", "args": args, "id": "1", "type": "tool_call"} for args in (DELETED, COUNTED)]
        no, yes = map(invoke, asked)
        return no, yes

    async def talk(tool: AsyncClientTool) -> None:
        taken = tool.to_langchain()
        asked = [{"name": "shop__query", "args": args, "id": "1", "type": "tool_call"} for args in (DELETED, COUNTED)]
        check(await taken.ainvoke(asked[0]), await taken.ainvoke(asked[1]))  # type: ignore[arg-type]
        with pytest.raises(NotImplementedError):
            taken.invoke(asked[0])  # type: ignore[arg-type]

    def check(no: ToolMessage, yes: ToolMessage) -> None:
        assert (no.content, type(no.artifact)) == (TOLD_NO, Refusal)
        assert json.loads(str(yes.content))["rows"] == [[12]]
        check_proven(service, no.artifact, str(no.content))
        check_proven(service, yes.artifact, str(yes.content))
        assert pickle.loads(pickle.dumps(yes)).artifact == yes.artifact  # noqa: S301 - our own bytes
        assert yes.model_dump()["artifact"]["call_id"] == yes.artifact.call_id

    taken = query_of(client).to_langchain()
    assert (taken.name, taken.args_schema) == ("shop__query", query_of(client).input_schema)
    check(*messages(taken.invoke))
    assert taken.func is not None
    assert get_type_hints(taken.func)["arguments"] is object  # LangGraph's ToolNode evaluates them
    in_a_loop(service, talk)


@requirement("client:tools:frameworks")
def test_openai_agents_gets_text_that_knows_its_answer(service: Service, client: Client) -> None:
    async def talk(tool: AsyncClientTool) -> None:
        for taken in (tool.to_openai_agents(), query_of(client).to_openai_agents()):
            context = ToolContext(None, Usage(), tool_name=taken.name, tool_call_id="1", tool_arguments="{}")
            no = await taken.on_invoke_tool(context, json.dumps(DELETED))
            yes = await taken.on_invoke_tool(context, json.dumps(COUNTED))
            doubled = await taken.on_invoke_tool(context, '{"sql": "SELECT 1", "sql": "SELECT 2"}')
            assert isinstance(no, ToldText)
            assert (no, json.loads(yes)["rows"]) == (TOLD_NO, [[12]])
            assert doubled.startswith("ARGUMENT_INVALID: ")
            check_proven(service, no.answer, no)
            check_proven(service, yes.answer, yes)

    in_a_loop(service, talk)


@requirement("client:tools:frameworks")
def test_pydantic_ai_gets_text_and_the_answer_as_metadata(service: Service, client: Client) -> None:
    wanted = iter((DELETED, COUNTED))

    def model(_: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        arguments = next(wanted, None)
        if arguments is None:
            return ModelResponse(parts=[TextPart("twelve")])
        return ModelResponse(parts=[ToolCallPart(info.function_tools[0].name, arguments)])

    run = Agent(FunctionModel(model), tools=[query_of(client).to_pydantic_ai()]).run_sync("how many?")

    parts = [part for message in run.all_messages() for part in message.parts]
    no, yes = (part for part in parts if isinstance(part, ToolReturnPart))
    assert (run.output, no.content, json.loads(str(yes.content))["rows"]) == ("twelve", TOLD_NO, [[12]])
    check_proven(service, no.metadata, str(no.content))
    check_proven(service, yes.metadata, str(yes.content))
    assert b'"call_id"' in ModelMessagesTypeAdapter.dump_json(run.all_messages())


@requirement("client:tools:frameworks")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 9007199254740993 AS big, x'00ff' AS raw, 9e999 AS far, -9e999 AS low, NULL AS none, 1.5 AS r",
        "SELECT 'a' || char(8238) || 'b' AS turned FROM orders LIMIT 2",
        "SELECT * FROM customers",
        "DELETE FROM orders",
    ],
)
def test_a_model_reads_what_it_would_over_mcp(client: Client, sql: str) -> None:
    questions = client._questions.execute("shop.query", {"sql": sql})
    heard: list[bytes] = []
    rpc = client._channel.unary_unary(questions.method, None, None)
    heard.append(rpc(questions.request, metadata=client._metadata))
    over_mcp = call_result(pb.ExecuteResponse.FromString(heard[0])).content[0]

    from sandbox.client.told import text_of

    assert over_mcp.type == "text"
    assert text_of(questions.value_of(heard[0])) == over_mcp.text


@requirement("client:tools:turned-away")
def test_what_has_no_receipt_is_told_by_its_reason_or_raised(service: Service) -> None:
    class Away:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def call(self, *_: Any, **__: Any) -> Any:
            raise self.error

    from sandbox.client.tools import offered

    with service.client() as client:
        known = query_of(client)

    late = offered(known, Away(Unavailable("`shop.query` is full", "OVERLOADED", 2.0))).to_langchain()
    asked: Any = {"name": "shop__query", "args": COUNTED, "id": "1", "type": "tool_call"}
    message = late.invoke(asked)
    assert message.content == "OVERLOADED: `shop__query` is full; try again in 2 s"
    assert message.artifact.receipt is None
    stranger = offered(known, Away(NotAuthenticated("too old", "CREDENTIAL_EXPIRED"))).to_langchain().invoke(asked)
    assert stranger.content == "CREDENTIAL_EXPIRED: too old"
    with pytest.raises(Unavailable, match="nobody"):
        offered(known, Away(Unavailable("nobody"))).to_langchain().invoke(asked)


@requirement("client:tools:turned-away")
@pytest.mark.parametrize("name", ["config", "run_manager", "self"])
def test_langchain_is_given_no_argument_that_it_would_lose(client: Client, name: str) -> None:
    from dataclasses import replace

    tool = replace(query_of(client), input_schema={"type": "object", "properties": {name: {"type": "string"}}})
    with pytest.raises(ValueError, match=f"an argument `{name}`, a name that LangChain keeps for itself"):
        tool.to_langchain()


@requirement("client:tools:strict")
@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, True),
        (
            {
                "type": "object",
                "properties": {"id": {"type": "integer", "minimum": 1}},
                "required": ["id"],
                "additionalProperties": False,
            },
            True,
        ),
        (
            {"type": "object", "properties": {"id": {"type": "integer"}}, "additionalProperties": False},
            False,
        ),
        ({"type": "object", "properties": {}, "required": []}, False),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "array", "items": {"type": "string", "minLength": 1}}},
                "required": ["a"],
                "additionalProperties": False,
            },
            False,
        ),
    ],
)
def test_strict_is_what_already_is(client: Client, schema: Any, *, expected: bool) -> None:
    from dataclasses import replace

    taken = replace(query_of(client), input_schema=schema).to_openai_agents()
    assert (is_strict(schema), taken.strict_json_schema, taken.params_json_schema) == (expected, expected, schema)


@requirement("client:tools:lazy")
def test_no_framework_is_loaded_before_it_is_asked_for() -> None:
    heavy = "{'mcp', 'mcp_types', 'langchain_core', 'agents', 'openai', 'pydantic_ai', 'pydantic', 'anyio'}"
    program = f"import sys, sandbox.client; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter

    assert done.stdout.split() == []


@requirement("client:tools:lazy")
@pytest.mark.parametrize(
    ("module", "extra"),
    [("langchain_core", "langchain"), ("agents", "openai-agents"), ("pydantic_ai", "pydantic-ai")],
)
def test_a_framework_that_is_not_installed_is_named_with_its_extra(
    client: Client, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == module or name.startswith("sandbox.client.frameworks."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ModuleNotFoundError, match=rf"`{module}.*`pip install 'tool-sandbox\[{extra}\]'` brings it"):
        getattr(query_of(client), f"to_{extra.replace('-', '_')}")()


@requirement("client:tools:stopped")
def test_who_stops_waiting_is_out_and_the_engine_stops(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    run = SqliteExecutor.run

    def watched(self: SqliteExecutor, *given: Any) -> Any:
        try:
            return run(self, *given)
        except BaseException:
            ended.set()
            raise

    async def talk(tool: AsyncClientTool) -> None:
        with anyio.move_on_after(1) as scope:
            await tool.call({"sql": ENDLESS})
        assert scope.cancelled_caught
        assert isinstance(await tool.call(COUNTED), Result)

    monkeypatch.setattr(SqliteExecutor, "run", watched)
    in_a_loop(service, talk)
    assert ended.wait(3)  # the tool's own limit is 5 s
