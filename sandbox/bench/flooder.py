"""Another caller, who sends SQL that nobody has sent before, as fast as it is answered, until stdin closes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from itertools import count

from sandbox.bench.deployment import COLD_TOOL, FLOODER
from sandbox.client import Client

CALLERS = 4


def main(address: str, root: str) -> None:
    """Flood the service at `address` over the deployment in `root`."""
    os.nice(10)
    ending = threading.Event()
    numbers: Iterator[int] = count()
    threads = [threading.Thread(target=_flood, args=(address, root, numbers, ending)) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ending.set()
    for thread in threads:
        thread.join()


def _flood(address: str, root: str, numbers: Iterator[int], ending: threading.Event) -> None:
    with Client.from_deployment(root, FLOODER, address) as client:
        client.call(COLD_TOOL, {"sql": "SELECT 1"})
        sys.stdout.write("flooding\n")
        sys.stdout.flush()
        while not ending.is_set():
            number = next(numbers)
            sql = f"SELECT sum(cents + {number}) FROM orders WHERE id > {number}"  # noqa: S608 - a number
            client.call(COLD_TOOL, {"sql": sql})


if __name__ == "__main__":
    main(*sys.argv[1:3])
