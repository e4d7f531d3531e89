"""How much of a refused call is kept, and how is a result read again?"""

from __future__ import annotations

import hashlib
import json

import pytest

from sandbox.receipts.answers import MAX_REFUSED_BYTES, abridged, read_result, result_payload
from sandbox.stages import ResultColumn


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


@pytest.mark.requirement("log:request-id:same")
@pytest.mark.parametrize("column", [b'{"name":"n","type":"integer","declared_type":"INT"}', b'["n","integer","INT"]'])
def test_a_result_is_read_as_this_build_and_as_earlier_ones_wrote_it(column: bytes) -> None:
    payload = b'{"columns":[' + column + b'],"row_count":1,"truncation":"","omitted":[],"rows":[[7]]}'
    body = read_result(payload)
    assert body.columns == (ResultColumn("n", "integer", "INT"),)
    assert read_result(result_payload(body)) == body
