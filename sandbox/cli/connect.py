"""`sandbox connect`: what to paste into a host or a framework, so that it reaches this deployment.

The snippet names places and never holds a token or a key: those stay in the deployment's files, which the bridge reads.
"""

from __future__ import annotations

import json as json_module
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from sandbox.cli.common import DeploymentOption, JsonOption, emit, wrapped
from sandbox.deployment import Misconfigured
from sandbox.reasons import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one host or framework is connected."""

    file: str
    """Where the snippet goes; a program of one's own if it ends in `.py`."""
    install: str
    """What the snippet needs beside a host."""
    key: str = ""
    """Of JSON, under what the servers stand."""
    program: str = ""
    """Of Python, with the words `COMMAND`, `ARGS`, `DEPLOYMENT` and `NAME` for what is ours."""


WAYS: Final[Mapping[str, Way]] = MappingProxyType(
    {
        "claude": Way(file=".mcp.json", key="mcpServers", install=""),
        "cursor": Way(file=".cursor/mcp.json", key="mcpServers", install=""),
        "vscode": Way(file=".vscode/mcp.json", key="servers", install=""),
        "langgraph": Way(
            file="agent.py",
            install="tool-sandbox[langchain] langgraph",
            program="""\
from langgraph.prebuilt import ToolNode
from sandbox.client import Client

client = Client.from_deployment(DEPLOYMENT, NAME)
tools = [tool.to_langchain() for tool in client.tools()]
node = ToolNode(tools)  # or `create_agent(model, tools)`; `message.artifact` is the verified answer
""",
        ),
        "openai-agents": Way(
            file="agent.py",
            install="tool-sandbox[openai-agents]",
            program="""\
from agents import Agent
from sandbox.client import Client

client = Client.from_deployment(DEPLOYMENT, NAME)
agent = Agent(name="agent", tools=[tool.to_openai_agents() for tool in client.tools()])
# `item.output.answer` of a run's `new_items` is the verified answer
""",
        ),
        "pydantic-ai": Way(
            file="agent.py",
            install="tool-sandbox[pydantic-ai]",
            program="""\
from pydantic_ai import Agent
from sandbox.client import Client

client = Client.from_deployment(DEPLOYMENT, NAME)
agent = Agent(tools=[tool.to_pydantic_ai() for tool in client.tools()])  # and a model
# `part.metadata` of a tool's return is the verified answer
""",
        ),
        "adk": Way(
            file="agent.py",
            install="google-adk[mcp]",
            program="""\
from google.adk.tools.mcp_tool import McpToolset, StdioConnectionParams
from mcp import StdioServerParameters

bridge = StdioServerParameters(command=COMMAND, args=ARGS)
tools = McpToolset(connection_params=StdioConnectionParams(server_params=bridge))
""",
        ),
        "crewai": Way(
            file="agent.py",
            install="crewai[mcp]",
            program="""\
from crewai.mcp import MCPServerStdio, MCPToolResolver
from crewai.utilities import Logger

bridge = MCPServerStdio(command=COMMAND, args=ARGS)
tools = MCPToolResolver(agent=None, logger=Logger()).resolve([bridge])  # and `Agent(tools=tools, …)`
for tool in tools:
    tool.name = tool.original_tool_name  # CrewAI would call it by the whole command, cut off
""",
        ),
        "llamaindex": Way(
            file="agent.py",
            install="llama-index-tools-mcp",
            program="""\
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec

tools = McpToolSpec(BasicMCPClient(COMMAND, args=ARGS))
""",
        ),
    }
)
"""Every host and framework that `connect` knows."""


def connect(
    host: Annotated[str, typer.Argument(help=f"One of {', '.join(WAYS)}.")],
    name: Annotated[str, typer.Option("--as", help="The identity to call as.")] = "agent",
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """Print what to paste into a host or a framework, so that it reaches this deployment; no token and no key."""
    from sandbox.cli.asking import identity_of

    way = WAYS.get(host)
    if way is None:
        raise Misconfigured(f"{quoted(host)}: {', '.join(WAYS)} are accepted")
    identity_of(deployment, name)  # or it ends here, with a sentence, and not at the host's first call
    snippet = _snippet(way, deployment.resolve(), name)
    if json:
        emit({"host": host, "file": way.file, "install": way.install, "snippet": snippet})
        return
    sys.stdout.write(snippet)
    installed = f"; install `{way.install}` beside it" if way.install else ""
    note = f"this goes into {way.file}{installed}; certificate and token stay in the deployment"
    sys.stderr.write(wrapped(note) + "\n")


def _snippet(way: Way, root: Path, name: str) -> str:
    # Hosts and models whose names take no dot refuse the whole list; all take the plain ones.
    words = ["mcp", "--plain-names", "--deployment", str(root), "--as", name]
    command, *args = [*_command(), *words]
    if way.key:
        server = {"type": "stdio", "command": command, "args": args}
        return json_module.dumps({way.key: {"sandbox": server}}, indent=2, ensure_ascii=False) + "\n"
    ours = {"DEPLOYMENT": repr(str(root)), "NAME": repr(name), "COMMAND": repr(command), "ARGS": repr(args)}
    lines = [_filled(line, ours) for line in way.program.splitlines()]
    return "\n".join(lines) + "\n"


def _filled(line: str, ours: Mapping[str, str]) -> str:
    for word, value in ours.items():
        if word in line:
            before, _, after = line.partition(word)
            return f"{before}{value}{_filled(after, ours)}"
    return line


def _command() -> Sequence[str]:
    """Return this very command line by absolute paths: a host has no environment of ours."""
    beside = Path(sys.executable).with_name("sandbox")
    found = beside if beside.is_file() else shutil.which("sandbox")
    return [str(found)] if found else [sys.executable, "-m", "sandbox.cli.main"]
