"""How much of a refused call is kept?"""

from __future__ import annotations

import hashlib
import json

import pytest

from sandbox.receipts.answers import MAX_REFUSED_BYTES, abridged


@pytest.mark.requirement("log:refusals:abridged")
def test_short_arguments_are_kept_whole_and_long_ones_by_beginning_length_and_digest() -> None:
    short = b"x" * MAX_REFUSED_BYTES
    assert abridged(short) == short
    long = b'{"sql": "' + b"y" * 4_000_000
    kept = abridged(long)
    assert len(kept) < 2048
    assert json.loads(kept) == {
        "abridged": True,
        "bytes": len(long),
        "sha256": hashlib.sha256(long).hexdigest(),
        "beginning": long[:1024].decode(),
    }
