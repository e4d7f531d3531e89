"""MCP Inspector's command line, by the host's file that `sandbox connect claude` prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from telling import asked_next, telling

PACKAGES = Path(sys.prefix) / "node_modules" / "@modelcontextprotocol"
CLI = PACKAGES / "inspector-cli"
HOST = Path("mcp.json")


def inspect(*words: str) -> dict[str, Any]:
    """Return what one method of the server answers; each starts the bridge anew."""
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(  # noqa: S603 - the package that was installed for this
        [node, CLI / "build" / "cli.js", "--cli", "--config", HOST, "--server", "sandbox", *words],
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def call(sql: str | None) -> dict[str, Any]:
    """Call the tool."""
    return inspect("--method", "tools/call", "--tool-name", "shop__query", "--tool-arg", f"sql={sql}")


version = json.loads((CLI / "package.json").read_text("utf-8"))["version"]
types = (PACKAGES / "sdk" / "dist" / "esm" / "types.js").read_text("utf-8")
era = re.search(r"\bLATEST_PROTOCOL_VERSION = '(.+?)'", types)  # its only one, and the service speaks it
with telling("@modelcontextprotocol/inspector-cli", "MCP, stdio", era[1] if era else "", version) as told:
    HOST.write_bytes(told.printed("claude"))
    told.check_listed([tool["name"] for tool in inspect("--method", "tools/list")["tools"]])
    told.shown.append("snippet")
    no = call(asked_next(None))
    assert no["isError"]
    told.check_refused(no["content"][0]["text"])
    yes = call(asked_next(no["content"][0]["text"]))
    assert yes["structuredContent"] == told.check_rows(yes["content"][0]["text"])
    read = [inspect("--method", "resources/read", "--uri", told.receipt_uri(each["_meta"])) for each in (no, yes)]
    told.check_receipts(*[each["contents"][0]["text"] for each in read])
