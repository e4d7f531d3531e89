"""Can a caller get more than their share by spreading calls over the processes of a service?"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic

import pytest
from several import FOREVER, PATIENCE_S, Several, make_deployment, serve

from sandbox.client import Client, ClientError, Pending, Refusal, Result

RARE_CALLS = 6
PARSES = 6
PARSES_PER_S = 1


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    deployment = make_deployment(tmp_path_factory.mktemp("spread") / "shop")
    text = deployment.settings.read_text("utf-8")
    for told, meant in (
        ("#cold_parses_per_second = 20", f"cold_parses_per_second = {PARSES_PER_S}"),
        ("#cold_parse_burst = 40", f"cold_parse_burst = {PARSES}"),
    ):
        assert told in text
        text = text.replace(told, meant)
    deployment.settings.write_text(text, "utf-8")
    with serve(deployment) as service:
        yield service


@pytest.mark.requirement("limits:workers:rate")
def test_calls_over_all_workers_get_no_more_than_one_rate(service: Several) -> None:
    clients = service.clients()

    def passed(number: int) -> int:
        with suppress(ClientError):
            return isinstance(clients[number % 2].call("many.rare", {"id": 1}), Result)
        return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(passed, range(8 * RARE_CALLS))) == RARE_CALLS


@pytest.mark.requirement("limits:workers:cold-parse")
def test_new_texts_over_all_workers_get_no_more_than_one_burst(service: Several) -> None:
    clients = service.clients()

    def passed(number: int) -> int:
        with suppress(ClientError):
            sql = f"SELECT count(*) + {number} FROM orders"  # noqa: S608 - a number
            return isinstance(clients[number % 2].call("many.query", {"sql": sql}), Result)
        return False

    begun = monotonic()
    with ThreadPoolExecutor(8) as threads:
        count = sum(threads.map(passed, range(8 * PARSES)))
    assert PARSES <= count <= PARSES + PARSES_PER_S * (monotonic() - begun)


@pytest.mark.requirement("limits:workers:concurrency")
def test_a_tool_s_places_are_those_of_all_workers_and_a_killed_worker_gives_its_own_back(service: Several) -> None:
    here, there = service.clients()
    thread = threading.Thread(target=hold, args=(here,))
    thread.start()
    service.wait_until(lambda: is_pending(there))
    refused = there.call("many.lone", {"most": 10})
    assert isinstance(refused, Refusal)
    assert refused.rule == "limits/concurrency"
    for pid in service.pids():
        os.kill(pid, signal.SIGKILL)
    thread.join(PATIENCE_S)
    service.wait_until(lambda: counts(service.client()))


def hold(client: Client) -> None:
    with suppress(ClientError):
        client.call("many.lone", FOREVER, request_id="held", timeout_s=PATIENCE_S)


def is_pending(client: Client) -> bool:
    with suppress(ClientError):
        return isinstance(client.get_call(request_id="held"), Pending)
    return False


def counts(client: Client) -> bool:
    with suppress(ClientError):
        return isinstance(client.call("many.lone", {"most": 10}, timeout_s=5), Result)
    return False
