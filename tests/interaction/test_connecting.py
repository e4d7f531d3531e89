"""Is what `sandbox connect` prints ready to paste, and free of secrets?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import anyio
import pytest
from command_line import CommandLine
from conftest import Service
from mcp import StdioServerParameters
from mcp.client import Client as McpClient
from mcp.client.stdio import stdio_client

from sandbox.cli.connect import WAYS
from sandbox.deployment import Deployment

requirement = pytest.mark.requirement
FILES: Final = [name for name, way in WAYS.items() if way.key]
PROGRAMS: Final = [name for name, way in WAYS.items() if way.program]


@requirement("client:connect:snippet")
@pytest.mark.parametrize("host", PROGRAMS)
def test_a_program_compiles_and_names_absolute_places(host: str, sandbox: CommandLine) -> None:
    ended = sandbox.run("connect", host)

    assert ended.code == 0
    compile(ended.out, host, "exec")
    assert repr(str(sandbox.root.resolve())) in ended.out
    assert "this goes into agent.py; install `" in ended.err


@requirement("client:connect:snippet")
@pytest.mark.parametrize("host", ["langgraph", "openai-agents", "pydantic-ai"])
def test_a_program_through_our_client_runs(host: str, service: Service, sandbox: CommandLine) -> None:
    program = sandbox.run("connect", host).out.replace("from langgraph.prebuilt import ToolNode\n", "ToolNode = list\n")
    made: dict[str, object] = {}

    exec(program, made)  # noqa: S102 - what users paste

    assert service.address
    with made["client"]:  # type: ignore[attr-defined]
        assert made.get("tools") or made.get("agent")


@requirement("client:connect:snippet")
@pytest.mark.parametrize("host", FILES)
def test_a_hosts_file_starts_a_bridge_that_lists_tools(host: str, service: Service, sandbox: CommandLine) -> None:
    servers = json.loads(sandbox.run("connect", host).out)
    server = servers["servers" if host == "vscode" else "mcpServers"]["sandbox"]

    async def talk() -> None:
        with anyio.fail_after(60):
            started = stdio_client(StdioServerParameters(command=server["command"], args=server["args"]))
            async with McpClient(started) as client:
                names = [tool.name for tool in (await client.list_tools()).tools]
                assert names == ["shop__order", "shop__order_by_id", "shop__query"]

    assert Path(server["command"]).is_absolute()
    assert service.address
    anyio.run(talk)


@requirement("client:connect:no-secret")
@pytest.mark.parametrize("host", WAYS)
def test_neither_token_nor_key_is_printed(host: str, deployment: Deployment, sandbox: CommandLine) -> None:
    ended = sandbox.run("connect", host, "--json")
    told = ended.out + ended.err
    files = [deployment.tokens / "agent.jwt", deployment.root / "pki" / "clients" / "agent.key"]
    secrets = [line for file in files for line in file.read_text().splitlines() if "-----" not in line]

    assert set(ended.json()) == {"host", "file", "install", "snippet"}
    assert len(secrets) > 2
    assert not any(part in told for secret in secrets for part in (secret, *secret.split(".")) if len(part) > 15)


@requirement("client:connect:told")
def test_another_name_is_told_what_is_accepted(sandbox: CommandLine) -> None:
    ended = sandbox.run("connect", "emacs")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"error: `emacs`: {', '.join(WAYS)} are accepted\n"
    assert sandbox.run("connect", "claude", "--as", "nobody").code == 4
