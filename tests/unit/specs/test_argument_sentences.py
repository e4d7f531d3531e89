"""Can a model act on the sentence? What was wrong, in which argument, what was found, what is accepted."""

import json
from typing import Final

import pytest

from sandbox.reasons import Reason, Refused
from sandbox.settings import ArgumentSettings
from sandbox.specs import Arguments, parse_arguments

SCHEMA: Final = {
    "type": "object",
    "properties": {
        "count": {"type": "integer", "minimum": 1, "maximum": 100},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "region": {"type": "string", "enum": ["EU", "US", "APAC"]},
        "day": {"type": "string", "format": "date"},
        "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^(?:[a-z]+)$"},
        "is_new": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "integer", "multipleOf": 5}, "maxItems": 3},
        "filter": {
            "type": "object",
            "properties": {"city": {"type": ["string", "null"]}, "kind": {"const": "a"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "either": {"type": "integer", "anyOf": [{"minimum": 10}, {"maximum": 2}]},
    },
    "required": ["count"],
    "additionalProperties": False,
}
ARGUMENTS: Final = Arguments(SCHEMA)


def refused(raw: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        ARGUMENTS.check(parse_arguments(raw, ArgumentSettings()))
    assert caught.value.reason is Reason.ARGUMENT_INVALID
    assert caught.value.message.isprintable()
    return caught.value


@pytest.mark.requirement("specs:arguments:sentence")
@pytest.mark.parametrize(
    ("given", "message", "argument", "accepted"),
    [
        ({"cuont": 1}, "there is no argument `cuont`; did you mean `count`?", "cuont", None),
        ({"count": 1, "zzz": 1}, None, "zzz", None),
        ({}, "argument `count` is missing; an integer from 1 to 100 is required", "count", "an integer from 1 to 100"),
        ({"count": "5"}, "argument `count` is the text `5`; an integer from 1 to 100 is accepted", "count", None),
        ({"count": None}, "argument `count` is `null`; an integer from 1 to 100 is accepted", "count", None),
        ({"count": True}, "argument `count` is `true`; an integer from 1 to 100 is accepted", "count", None),
        (
            {"count": 1.0},
            "argument `count` is the number `1.0`, written with a fraction; an integer from 1 to 100 is accepted",
            "count",
            None,
        ),
        ({"count": 101}, "argument `count` is the number `101`; an integer from 1 to 100 is accepted", "count", None),
        (
            {"count": 1, "share": 1},
            "argument `share` is the number `1`; a number between 0 and 1 is accepted",
            "share",
            "a number between 0 and 1",
        ),
        (
            {"count": 1, "region": "eu"},
            "argument `region` is the text `eu`; one of `EU`, `US`, `APAC` is accepted; did you mean `EU`?",
            "region",
            "one of `EU`, `US`, `APAC`",
        ),
        (
            {"count": 1, "day": "2023-02-29"},
            "argument `day` is the text `2023-02-29`; a date such as `2024-12-31` is accepted",
            "day",
            None,
        ),
        ({"count": 1, "day": "2023-2-9"}, None, "day", None),
        ({"count": 1, "day": "\uff12\uff10\uff12\uff13-02-28"}, None, "day", None),
        ({"count": 1, "day": 20230228}, None, "day", "a date such as `2024-12-31`"),
        (
            {"count": 1, "name": "abc1"},
            "argument `name` is the text `abc1`; text of 2 to 5 characters matching `^(?:[a-z]+)$` is accepted",
            "name",
            None,
        ),
        ({"count": 1, "name": "abc\n"}, None, "name", None),
        (
            {"count": 1, "is_new": "true"},
            "argument `is_new` is the text `true`; `true` or `false` is accepted",
            "is_new",
            None,
        ),
        (
            {"count": 1, "is_new": 1},
            "argument `is_new` is the number `1`; `true` or `false` is accepted",
            "is_new",
            None,
        ),
        (
            {"count": 1, "tags": [5, 6]},
            "argument `tags[1]` is the number `6`; an integer that is a multiple of 5 is accepted",
            "tags[1]",
            None,
        ),
        ({"count": 1, "tags": [5.0]}, None, "tags[0]", "an integer that is a multiple of 5"),
        (
            {"count": 1, "tags": "5"},
            "argument `tags` is the text `5`; a list of at most 3 items is accepted",
            "tags",
            None,
        ),
        (
            {"count": 1, "filter": {}},
            "argument `filter.city` is missing; text or `null` is required",
            "filter.city",
            None,
        ),
        (
            {"count": 1, "filter": {"city": "x", "citi": 1}},
            "there is no argument `filter.citi`; did you mean `city`?",
            "filter.citi",
            "`city`, `kind`",
        ),
        (
            {"count": 1, "filter": {"city": "x", "kind": "b"}},
            "argument `filter.kind` is the text `b`; `a` is accepted",
            None,
            None,
        ),
        ({"count": 1, "filter": [1]}, "argument `filter` is a list; an object is accepted", "filter", "an object"),
        ({"count": 1, "either": 5}, "argument `either` is the number `5`; an integer is accepted", "either", None),
    ],
    ids=range(26),
)
def test_the_sentence(given: object, message: str | None, argument: str | None, accepted: str | None) -> None:
    told = refused(json.dumps(given).encode())
    assert message in {None, told.message}
    assert argument in {None, told.metadata["argument"]}
    assert accepted in {None, told.metadata["accepted"]}
    assert told.rule.startswith("arguments/")


@pytest.mark.requirement("specs:arguments:sentence")
def test_the_callers_own_text_is_cut_and_escaped() -> None:
    long = refused(json.dumps({"count": "`" + "a\x1b" * 5_000}).encode())
    assert len(long.message) < 300
    assert "\x1b" not in long.message
    name = refused(json.dumps({"x\u202e`" * 1_000: 1}).encode())
    assert len(name.message) < 400
    assert "`" not in name.metadata["argument"]


@pytest.mark.requirement("specs:arguments:never-coerced")
@pytest.mark.parametrize(
    "given",
    [
        {"count": 7},
        {"count": 7, "share": 0.1},
        {"count": 7, "tags": [5, 10], "is_new": False},
        {"count": 7, "filter": {"city": None}, "day": "2024-02-29"},
        {"count": 7, "name": "abc", "region": "EU"},
    ],
)
def test_what_fits_arrives_as_it_was_sent(given: dict[str, object]) -> None:
    arguments = parse_arguments(json.dumps(given).encode(), ArgumentSettings())
    ARGUMENTS.check(arguments)
    assert json.dumps(arguments) == json.dumps(given)


@pytest.mark.requirement("specs:arguments:one-object")
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the arguments are not JSON; one JSON object in UTF-8 is accepted"),
        (b"{'count': 1}", "the arguments are not JSON; one JSON object in UTF-8 is accepted"),
        (b'{"count": 1}\n}', "the arguments are not JSON; one JSON object in UTF-8 is accepted"),
        (b"[1]", "the arguments are not a JSON object; one object with the arguments by name is accepted"),
        (b"null", "the arguments are not a JSON object; one object with the arguments by name is accepted"),
        (
            b'{"count": NaN}',
            "the arguments are not JSON, which has no NaN and no infinity; one JSON object is accepted",
        ),
    ],
)
def test_what_is_no_json_object(raw: bytes, message: str) -> None:
    assert refused(raw).message == message


@pytest.mark.requirement("specs:arguments:one-object")
def test_where_it_stops_being_json_is_told_once() -> None:
    told = refused(b'{"count": 1}\n}')
    assert (told.line, told.column) == (2, 1)
    assert "line" not in told.message
