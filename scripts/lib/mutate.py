"""Change receipts and logs in every way we know, hand them to the real commands, and count what is refused.

The receipts and the log are a deployment's own, made by calls through the whole service. Each mutant goes to `sandbox
log verify` or `sandbox log audit`. Prints a line a kind; exit code 1 if a mutant is accepted or a command breaks.

Some kinds hold changes that by the formats change nothing that is proven. They are counted apart, each only after a
check that it is so:

- a signature line of a key that nobody asked about: C2SP signed-note says to ignore it. Counted if the record, its
  place and the tree are what they were. Of a checkpoint with two lines, one may be cut off, or become a line of an
  unknown key by a change of its name or key id: the verifier says that it was not checked.
- a bit of the log's file outside of all that the audit speaks of: free pages, indexes, and tables that the service
  makes anew from the leaves or does not start with (a wrapped key opens no payload then; the audit says that it does
  not check them). Counted if every leaf, payload, checkpoint and the head are, byte for byte, what they were.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mutants import (
    BLOBS,
    CHANGES,
    DAMAGE,
    LOW_ORDER,
    SWAPS,
    audited,
    checkpoint_of,
    flip_blob,
    flipped,
    has_true_lines,
    replaced_signature,
    roll_back,
    sign_anew,
    signature_line,
    swapped_last_line,
    text_of,
    tree_of,
    vkey_of,
)

from sandbox.audit.verify import verify_receipt
from sandbox.bench.deployment import BENCH_TOOL, COLD_TOOL, make_bench_deployment
from sandbox.cli.main import main as sandbox
from sandbox.client import Answer, Client, Pending
from sandbox.deployment import Deployment
from sandbox.receipts.keys import read_signer
from sandbox.serving import opened

CALLS: Final = 12
PARTS: Final = ("receipt", "checkpoint", "log")
"""What is changed; kinds begin with it."""
REFUSED: Final = (1, 2)
"""Exit codes: proven bad, or no key or no log at all."""


@dataclass
class Count:
    """How the mutants of one kind ended."""

    tried: int = 0
    refused: int = 0
    no_matter: int = 0
    accepted: int = 0
    crashed: int = 0


@dataclass(frozen=True)
class Ground:
    """What there is to change, and the chance that chooses."""

    deployment: Path
    receipts: Sequence[bytes]
    scratch: Path
    chance: random.Random
    counts: dict[str, Count] = field(default_factory=dict)

    @property
    def key(self) -> Path:
        """The log's true key."""
        return self.deployment / "keys" / "log.vkey"

    @property
    def keys(self) -> tuple[str | Path, ...]:
        """Both of the log's true keys, as a command takes them."""
        return "--key", self.key, "--key", self.deployment / "keys" / "log-mldsa44.vkey"

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.key.read_text("utf-8").split("+", 1)[0]

    def tell(self, kind: str, code: int, *, is_no_matter: Callable[[], bool] = lambda: False) -> None:
        """Count one mutant by the exit code that it got."""
        count = self.counts.setdefault(kind, Count())
        count.tried += 1
        count.refused += code in REFUSED
        count.crashed += code not in (0, *REFUSED)
        if code == 0:
            does_not_matter = is_no_matter()
            count.no_matter += does_not_matter
            count.accepted += not does_not_matter


def run(*arguments: str | Path) -> int:
    """Run a command as the shell would; returns its exit code."""
    before, sys.argv = sys.argv, ["sandbox", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            sandbox()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 5
    finally:
        sys.argv = before


def make_ground(folder: Path, chance: random.Random) -> Ground:
    """Make a deployment, serve it, and call it until there is something to change."""
    root = folder / "deployment"
    make_bench_deployment(root)
    with opened(root, listen="127.0.0.1:0") as door, Client.from_deployment(root, "agent", door.address) as client:
        answers = [answer for number in range(1, CALLS + 1) for answer in _answers(client, number)]
    receipts = [a.receipt.text for a in answers if not isinstance(a, Pending) and a.receipt is not None]
    (folder / "scratch" / "state").mkdir(mode=0o700, parents=True)
    return Ground(root, receipts, folder / "scratch", chance)


def _answers(client: Client, number: int) -> Iterator[Answer]:
    yield client.call(BENCH_TOOL, {"id": number})
    yield client.call(COLD_TOOL, {"sql": f"SELECT {number}"})
    yield client.call(COLD_TOOL, {"sql": "DELETE FROM orders"})
    yield client.explain(BENCH_TOOL, {"id": number})


# Receipts ------------------------------------------------------------------------------------------------------------


def mutate_receipts(ground: Ground, times: int) -> None:
    """Hand `times` mutants of each kind to `log verify`."""
    for kind, damage in DAMAGE.items():
        for text in _new(ground, times, _damaging(damage, ground.chance)):
            _verify(ground, kind, text)
    for kind, swap in SWAPS.items():
        for text in _new(ground, times, swap):
            _verify(ground, kind, text)
    for _ in range(times):
        _other_keys(ground, ground.chance.choice(ground.receipts))


def _damaging(
    damage: Callable[[bytes, random.Random], bytes], chance: random.Random
) -> Callable[[bytes, bytes], bytes]:
    return lambda receipt, _: damage(receipt, chance)


def _new(ground: Ground, times: int, change: Callable[[bytes, bytes], bytes]) -> Iterator[bytes]:
    """Yield mutants that are not, by chance, receipts of the log."""
    found = 0
    while found < times:
        one, other = ground.chance.sample(ground.receipts, 2)
        mutant = change(one, other)
        if mutant not in ground.receipts:
            found += 1
            yield mutant


def _other_keys(ground: Ground, receipt: bytes) -> None:
    impostor = Ed25519PrivateKey.from_private_bytes(ground.chance.randbytes(32))
    stranger = vkey_of(ground.origin, impostor.public_key().public_bytes_raw())
    low = vkey_of(ground.origin, LOW_ORDER)
    line = signature_line(stranger, impostor.sign(text_of(checkpoint_of(receipt))))
    _verify(ground, "wrong key", receipt, key=stranger)
    _verify(ground, "signed with another key", replaced_signature(receipt, line))
    forged = replaced_signature(receipt, signature_line(low, LOW_ORDER + bytes(32)))
    _verify(ground, "low-order key", forged, key=low)
    added = receipt + signature_line(stranger, ground.chance.randbytes(64))
    true_key = ground.key.read_text("utf-8")
    _verify(
        ground,
        "a stranger's line added",
        added,
        is_no_matter=lambda: verify_receipt(added, true_key) == verify_receipt(receipt, true_key),
    )


def _verify(
    ground: Ground, kind: str, text: bytes, key: str = "", is_no_matter: Callable[[], bool] = lambda: False
) -> None:
    path = ground.scratch / "receipt"
    path.write_bytes(text)
    ground.tell(f"receipt: {kind}", run("log", "verify", path, "--key", _key(ground, key)), is_no_matter=is_no_matter)


def _key(ground: Ground, line: str) -> Path:
    if not line:
        return ground.key
    path = ground.scratch / "other.vkey"
    path.write_text(line + "\n", "utf-8")
    return path


def mutate_two_lined(ground: Ground, times: int) -> None:
    """Hand `times` mutants of each kind of receipts with both signature lines to `log verify`, with both keys."""
    receipts = [text + _second_line(ground, checkpoint_of(text)) for text in ground.receipts]
    path = ground.scratch / "receipt"
    for kind, damage in DAMAGE.items():
        for _ in range(times):
            true = ground.chance.choice(receipts)
            mutant = damage(true, ground.chance)
            path.write_bytes(mutant)
            code = run("log", "verify", path, *ground.keys)
            is_no_matter = partial(_proves_the_same, ground, mutant, true)
            ground.tell(f"receipt: two lines, {kind}", code, is_no_matter=is_no_matter)
    for _ in range(times):
        one, other = ground.chance.sample(receipts, 2)
        path.write_bytes(swapped_last_line(one, other))
        ground.tell("receipt: two lines, the second swapped", run("log", "verify", path, *ground.keys))


def _second_line(ground: Ground, checkpoint: bytes) -> bytes:
    signer = read_signer(Deployment(ground.deployment), ground.origin).ml_dsa
    if signer is None:
        raise SystemExit("the deployment has no ML-DSA-44 key")
    return signer.line(*tree_of(checkpoint))


def _proves_the_same(ground: Ground, mutant: bytes, true: bytes) -> bool:
    vkeys = [Path(key).read_text("utf-8") for key in ground.keys[1::2]]
    one, other = (verify_receipt(text, *vkeys) for text in (mutant, true))
    is_same = (one.leaf, one.index, one.tree_size) == (other.leaf, other.index, other.tree_size)
    return is_same and has_true_lines(checkpoint_of(mutant), checkpoint_of(true))


# Checkpoints ---------------------------------------------------------------------------------------------------------


def mutate_checkpoints(ground: Ground, times: int) -> None:
    """Lay `times` mutants of each kind beside the log, as `state/checkpoint`, and audit it with both keys."""
    true = (ground.deployment / "state" / "checkpoint").read_bytes()
    for _ in range(times):
        for kind, damage in DAMAGE.items():
            _published(ground, kind, damage(true, ground.chance), true)
        other = checkpoint_of(ground.chance.choice(ground.receipts[:-1]))
        _published(ground, "second line swapped", swapped_last_line(true, _second_line(ground, other)), true)
        _published(ground, "of another tree", true.replace(text_of(true), text_of(other)), true)
        with _copy(ground, "rolled back", *ground.keys[2:], part="checkpoint") as log:
            roll_back(log, ground.chance)
            (log.parent / "checkpoint").write_bytes(true)


def _published(ground: Ground, kind: str, mutant: bytes, true: bytes) -> None:
    is_no_matter = partial(has_true_lines, mutant, true)
    with _copy(ground, kind, *ground.keys[2:], part="checkpoint", is_no_matter=lambda _: is_no_matter()) as log:
        (log.parent / "checkpoint").write_bytes(mutant)


# Logs ----------------------------------------------------------------------------------------------------------------


def mutate_logs(ground: Ground, times: int) -> None:
    """Hand `times` mutants of each kind to `log audit`."""
    for _ in range(times):
        for kind, (table, column) in BLOBS.items():
            with _copy(ground, kind) as log:
                flip_blob(log, table, column, ground.chance)
        for kind, change in CHANGES.items():
            with _copy(ground, kind) as log:
                change(log, ground.chance)
        with _copy(ground, "tail of the file cut") as log:
            content = log.read_bytes()
            log.write_bytes(content[: ground.chance.randrange(len(content))])
        with _copy(
            ground, "any bit of the file", is_no_matter=lambda log: audited(log) == audited(_log(ground))
        ) as log:
            log.write_bytes(flipped(log.read_bytes(), ground.chance))
        _rolled_back(ground)
        _logs_of_other_keys(ground)


@contextlib.contextmanager
def _copy(
    ground: Ground,
    kind: str,
    *flags: str | Path,
    part: str = "log",
    key: str = "",
    is_no_matter: Callable[[Path], bool] = lambda _: False,
) -> Iterator[Path]:
    """Give a copy of the log to be changed, then audit it."""
    log = ground.scratch / "state" / "log.db"
    for stale in log.parent.iterdir():
        stale.unlink()
    shutil.copyfile(_log(ground), log)  # alone: whoever changes a log would not leave the checkpoint beside it
    yield log
    code = run("log", "audit", "--deployment", ground.scratch, "--key", _key(ground, key), *flags)
    ground.tell(f"{part}: {kind}", code, is_no_matter=lambda: is_no_matter(log))


def _log(ground: Ground) -> Path:
    return ground.deployment / "state" / "log.db"


def _rolled_back(ground: Ground) -> None:
    """Cut the log back to an earlier checkpoint, whole in itself: a remembered checkpoint tells."""
    remembered = ground.scratch / "remembered"
    remembered.unlink(missing_ok=True)
    if run("log", "audit", "--deployment", ground.deployment, "--key", ground.key, "--remember", remembered):
        raise SystemExit("the untouched log does not audit clean")
    with _copy(ground, "rolled back, one checkpoint kept", "--remember", remembered) as log:
        roll_back(log, ground.chance)


def _logs_of_other_keys(ground: Ground) -> None:
    impostor = Ed25519PrivateKey.from_private_bytes(ground.chance.randbytes(32))
    stranger, low = vkey_of(ground.origin, impostor.public_key().public_bytes_raw()), vkey_of(ground.origin, LOW_ORDER)
    with _copy(ground, "wrong key", key=stranger):
        pass  # an untouched log
    with _copy(ground, "signed with another key") as log:
        sign_anew(log, lambda size, root: impostor.sign(f"{ground.origin}\n{size}\n{root}\n".encode()))
    with _copy(ground, "low-order key", key=low) as log:
        sign_anew(log, lambda _size, _root: LOW_ORDER + bytes(32))


# The run -------------------------------------------------------------------------------------------------------------


def check_untouched(ground: Ground) -> None:
    """Stop unless everything is good before it is changed."""
    for text in ground.receipts:
        path = ground.scratch / "receipt"
        path.write_bytes(text)
        if run("log", "verify", path, "--key", ground.key):
            raise SystemExit("an untouched receipt does not verify")
        path.write_bytes(text + _second_line(ground, checkpoint_of(text)))
        if run("log", "verify", path, *ground.keys):
            raise SystemExit("an untouched receipt with both signature lines does not verify")
    shutil.copyfile(_log(ground), ground.scratch / "state" / "log.db")
    for deployment in (ground.deployment, ground.scratch):
        if run("log", "audit", "--deployment", deployment, *ground.keys):
            raise SystemExit("the untouched log does not audit clean")


def print_table(counts: Mapping[str, Count]) -> None:
    """Print a line a kind, and the totals of receipts, of checkpoints, of logs and of all."""
    sys.stdout.write(f"{'kind':<42}{'tried':>7}{'refused':>9}{'no matter':>11}{'accepted':>10}{'crashed':>9}\n")
    totals = {f"all {part}s": _sum(counts, f"{part}: ") for part in PARTS} | {"total": _sum(counts, "")}
    for kind, c in [*counts.items(), *totals.items()]:
        sys.stdout.write(f"{kind:<42}{c.tried:>7}{c.refused:>9}{c.no_matter:>11}{c.accepted:>10}{c.crashed:>9}\n")


def _sum(counts: Mapping[str, Count], beginning: str) -> Count:
    chosen = [count for kind, count in counts.items() if kind.startswith(beginning)]
    return Count(
        sum(c.tried for c in chosen),
        sum(c.refused for c in chosen),
        sum(c.no_matter for c in chosen),
        sum(c.accepted for c in chosen),
        sum(c.crashed for c in chosen),
    )


def main() -> int:
    """Change, ask and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="how many mutants of each kind")
    parser.add_argument("--seed", type=int, default=1, help="of the places that are changed")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="sandbox-mutate-") as folder:
        ground = make_ground(Path(folder), random.Random(options.seed))  # noqa: S311 - places, not secrets
        check_untouched(ground)
        sys.stdout.write(f"seed {options.seed}, {len(ground.receipts)} receipts, {options.times} of each kind\n")
        sys.stdout.flush()
        mutate_receipts(ground, options.times)
        mutate_two_lined(ground, options.times)
        mutate_checkpoints(ground, options.times)
        mutate_logs(ground, options.times)
    print_table(ground.counts)
    total = _sum(ground.counts, "")
    if total.accepted or total.crashed:
        sys.stdout.write(f"FAIL {total.accepted} accepted, {total.crashed} crashed\n")
        return 1
    sys.stdout.write(
        f"{total.refused} of {total.tried} refused; the other {total.no_matter} change nothing proven (why: --help)\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
