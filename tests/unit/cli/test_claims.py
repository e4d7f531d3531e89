"""Do all commands read `--claim K=V` alike?"""

from __future__ import annotations

import pytest

from sandbox.cli.common import claims_of
from sandbox.deployment import Misconfigured


@pytest.mark.requirement("house:cli:claims")
def test_a_value_is_json_if_it_is_and_text_otherwise() -> None:
    pairs = ["region=EU", "level=3", "tags=[1,2]", 'quoted="7"', "note=a=b", "empty=", 'twice={"a":1,"a":2}', "n=NaN"]

    assert claims_of(pairs) == {
        "region": "EU",
        "level": 3,
        "tags": [1, 2],
        "quoted": "7",
        "note": "a=b",
        "empty": "",
        "twice": '{"a":1,"a":2}',
        "n": "NaN",
    }
    assert claims_of(None) == {}


@pytest.mark.requirement("house:cli:claims")
@pytest.mark.parametrize("pair", ["region", "=EU", ""])
def test_what_is_no_claim_is_a_wrong_use(pair: str) -> None:
    with pytest.raises(Misconfigured, match="NAME=VALUE is accepted"):
        claims_of([pair])
