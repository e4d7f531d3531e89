"""SIGKILL the server under load, start it again, and compare what callers hold with what the log holds.

After every kill: no caller holds a receipt that the log does not contain, every released result has its record, and the
log audits clean. Prints one line a kill; exit code 1 at the first that does not hold.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.audit.audit import audit_log
from sandbox.bench.deployment import BENCH_TOOL, make_bench_deployment
from sandbox.client import Client, ClientError, Result
from sandbox.stores.sqlite_log import SqliteLog

CALLERS = 8


def main() -> int:
    """Run the kills asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25, help="how often the server dies")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which it dies")
    options = parser.parse_args()
    moments = random.Random(options.seed)  # noqa: S311 - moments, not secrets
    with TemporaryDirectory(prefix="sandbox-crash-") as folder:
        root = Path(folder) / "deployment"
        make_bench_deployment(root)
        held: list[tuple[int, bytes]] = []
        for number in range(1, options.kills + 1):
            answered = _one_life(root, held, kill_after=moments.uniform(0.05, 1.0))
            size = _compare(root, held)
            sys.stdout.write(
                f"kill {number}: {answered} answers in this life, {len(held)} receipts held, {size} records\n"
            )
            sys.stdout.flush()
    sys.stdout.write(f"{options.kills} kills, {len(held)} receipts, none missing from the log, every audit clean\n")
    return 0


def _one_life(root: Path, held: list[tuple[int, bytes]], kill_after: float) -> int:
    command = [sys.executable, "-m", "sandbox.bench.server", "service", str(root)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own module
    address = (server.stdout.readline() if server.stdout else "").removeprefix("ready grpc=").strip()
    if not address:
        raise SystemExit("the server did not start again after a kill")
    before = len(held)
    callers = [threading.Thread(target=_call_until_it_dies, args=(root, address, held)) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    threading.Timer(kill_after, server.send_signal, (signal.SIGKILL,)).start()
    for caller in callers:
        caller.join()
    server.wait()
    for pipe in (server.stdin, server.stdout):
        if pipe is not None:
            pipe.close()
    return len(held) - before


def _call_until_it_dies(root: Path, address: str, held: list[tuple[int, bytes]]) -> None:
    with Client.from_deployment(root, "agent", address) as client:
        number = 0
        while True:
            number += 1
            try:
                answer = client.call(BENCH_TOOL, {"id": number % 9 + 1}, timeout_s=10)
            except ClientError:
                return
            if isinstance(answer, Result):
                held.append((answer.receipt.verified.index, answer.receipt.verified.leaf))


def _compare(root: Path, held: list[tuple[int, bytes]]) -> int:
    path = root / "state" / "log.db"
    store = SqliteLog(path, is_read_only=True)
    missing = [index for index, leaf in held if store.record(index) != leaf]
    store.close()
    if missing:
        raise SystemExit(f"receipts held for leaves that the log does not contain: {missing[:5]}")
    return audit_log(path, (root / "keys" / "log.vkey").read_text("utf-8")).tree_size


if __name__ == "__main__":
    sys.exit(main())
