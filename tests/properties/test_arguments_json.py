"""Whatever bytes arrive: arguments as sent, or a refusal; never a crash, never another value."""

import json
import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.reasons import Reason, Refused
from sandbox.settings import ArgumentSettings
from sandbox.specs import Arguments, parse_arguments

BOUNDS = ArgumentSettings(max_bytes=4_096, max_depth=6)
TYPES = {
    "text": {"type": "string"},
    "whole": {"type": "integer"},
    "real": {"type": "number"},
    "flag": {"type": "boolean"},
    "day": {"type": "string", "format": "date"},
}
ARGUMENTS = Arguments({"type": "object", "properties": TYPES, "required": [], "additionalProperties": False})

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates().map(str)
values = st.recursive(
    scalars, lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=8), below, max_size=4)
)
objects = st.dictionaries(st.sampled_from([*TYPES, "other"]), values | scalars, max_size=4)


def outcome(raw: bytes, arguments: Arguments | None = None) -> dict[str, object] | None:
    """Return what passed, or None for a proper refusal."""
    try:
        parsed = parse_arguments(raw, BOUNDS)
        assert isinstance(parsed, Mapping)
        if arguments is not None:
            arguments.check(parsed)
    except Refused as refused:
        check_refusal(refused)
        return None
    return dict(parsed)


def check_refusal(refused: Refused) -> None:
    assert refused.reason is Reason.ARGUMENT_INVALID
    assert refused.message.isprintable()
    assert len(refused.message) < 2_000
    assert all(isinstance(fact, str) and fact.isprintable() for fact in refused.metadata.values())


@pytest.mark.requirement("specs:arguments:never-crash")
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
def test_random_bytes_are_refused_or_an_object(raw: bytes) -> None:
    outcome(raw, ARGUMENTS)


@pytest.mark.requirement("specs:arguments:never-coerced")
@settings(max_examples=400, deadline=None)
@given(objects, st.booleans())
def test_json_arrives_unchanged_or_not_at_all(given_object: dict[str, object], is_ascii: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
    raw = json.dumps(given_object, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    passed = outcome(raw)
    if passed is not None:
        assert json.dumps(passed) == json.dumps(given_object)


@pytest.mark.requirement("specs:arguments:never-coerced")
@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(TYPES)), scalars)
def test_a_value_passes_only_as_the_type_it_is(name: str, value: object) -> None:
    passed = outcome(json.dumps({name: value}).encode("utf-8", "surrogatepass"), ARGUMENTS)
    kind = type(value)
    if passed is None:
        return
    assert type(passed[name]) is kind
    assert kind in {"text": {str}, "whole": {int}, "real": {int, float}, "flag": {bool}, "day": {str}}[name]
    if isinstance(value, float):
        assert math.isfinite(value)


@pytest.mark.requirement("specs:arguments:never-coerced")
@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["text", "whole", "real", "flag"]), st.data())
def test_every_plain_value_of_the_type_passes(name: str, data: st.DataObject) -> None:
    fitting = {
        "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50),
        "whole": st.integers(-(2**63), 2**63 - 1),
        "real": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1),
        "flag": st.booleans(),
    }
    value = data.draw(fitting[name])
    assert outcome(json.dumps({name: value}).encode(), ARGUMENTS) == {name: value}


@pytest.mark.requirement("specs:arguments:bounded")
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.booleans())
def test_depth_is_counted_exactly(depth: int, is_list: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
    value: object = 1
    for _ in range(depth - 1):
        value = [value] if is_list else {"a": value}
    raw = json.dumps({"a": value}).encode()
    assert (outcome(raw) is not None) == (depth <= BOUNDS.max_depth)
