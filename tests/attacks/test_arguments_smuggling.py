"""Attack: arguments that one reader sees one way and the next another, or that break whoever reads them."""

import json
import time

import pytest

from sandbox.reasons import Reason, Refused
from sandbox.settings import ArgumentSettings
from sandbox.specs import Arguments, parse_arguments

BOUNDS = ArgumentSettings()
ARGUMENTS = Arguments(
    {
        "type": "object",
        "properties": {
            "sql": {"type": "string", "format": "sql", "minLength": 1},
            "limit": {"type": "integer"},
            "share": {"type": "number"},
            "slug": {"type": "string", "pattern": "^(?:(?:a+)+)$"},
            "ids": {"type": "array", "items": {"type": "integer"}},
            "any": {"type": "object"},
        },
        "required": [],
        "additionalProperties": False,
    }
)


def refused(raw: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        ARGUMENTS.check(parse_arguments(raw, BOUNDS))
    assert caught.value.reason is Reason.ARGUMENT_INVALID
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500
    return caught.value


@pytest.mark.requirement("specs:arguments:duplicate-keys")
@pytest.mark.parametrize(
    "raw",
    [
        b'{"sql": "SELECT 1", "sql": "DROP TABLE t"}',
        b'{"sql": "SELECT 1", "\\u0073ql": "DROP TABLE t"}',
        b'{"any": {"a": 1, "a": 2}}',
        b'{"any": {"b": [{"a": 1, "\\u0061": 2}]}}',
    ],
)
def test_a_second_name_is_refused_however_it_is_written(raw: bytes) -> None:
    assert "twice; each name is accepted once" in refused(raw).message


@pytest.mark.requirement("specs:arguments:duplicate-keys")
def test_the_smuggled_name_is_shown_harmlessly() -> None:
    told = refused(b'{"\\u001b[2J`\\u202e": 1, "\\u001b[2J`\\u202e": 2}')
    assert not {"\x1b", "\u202e"} & set(told.message)


@pytest.mark.requirement("specs:arguments:numbers")
@pytest.mark.parametrize(
    "number",
    ["1e999", "-1e999", "1e309", "NaN", "-NaN", "Infinity", "-Infinity", "nan", "inf", "0x10", "01", "+1", "1_000"],
)
def test_numbers_that_are_none_are_refused(number: str) -> None:
    refused(b'{"share": %b}' % number.encode())
    refused(b'{"ids": [%b]}' % number.encode())
    refused(b'{"any": {"deep": {"er": %b}}}' % number.encode())


@pytest.mark.requirement("specs:arguments:numbers")
@pytest.mark.parametrize(
    "number",
    [b"%d" % (2**63), b"-%d" % (2**63 + 1), b"%d" % (2**64), b"9" * 31, b"9" * 4_000, b"9" * 5_000],
    ids=range(6),
)
def test_integers_beyond_64_bits_are_refused_not_rounded(number: bytes) -> None:
    for raw in (b'{"limit": %b}', b'{"share": %b}', b'{"ids": [%b]}', b'{"any": {"a": [%b]}}'):
        refused(raw % number)


@pytest.mark.requirement("specs:arguments:numbers")
@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**53 + 1])
def test_large_integers_stay_exact(number: int) -> None:
    parsed = parse_arguments(b'{"limit": %d}' % number, BOUNDS)
    ARGUMENTS.check(parsed)
    assert parsed == {"limit": number}


@pytest.mark.requirement("specs:arguments:text")
@pytest.mark.parametrize(
    "raw",
    [
        b'{"sql": "SELECT 1\\u0000; DROP TABLE t"}',
        b'{"any": {"a": ["\\u0000"]}}',
        b'{"any": {"a\\u0000": 1}}',
        b'{"any": {"\\u0000": {"b": 1}}}',
        b'{"sql": "SELECT \x00 1"}',
        b'{"sql": "\\ud800"}',
        b'{"sql": "\\udfff\\ud800"}',
        b'{"sql": "\xed\xa0\x80"}',
        b'{"sql": "\xc0\x80"}',
        b'{"sql": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        b'\xef\xbb\xbf{"sql": "SELECT 1"}',
    ],
)
def test_text_that_readers_cut_or_mend_is_refused(raw: bytes) -> None:
    refused(raw)


@pytest.mark.requirement("specs:arguments:bounded")
@pytest.mark.parametrize(
    "raw",
    [
        b'{"any": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"any": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
        b"[" * 10_000,
        b'{"any": ' + b"[" * 150 + b"]" * 150 + b"}",
        b'{"any": ' + b"[" * 32 + b"]" * 32 + b"}",
    ],
    ids=["lists", "objects", "open", "jiter-lets-it-through", "one-too-many"],
)
def test_depth_is_refused(raw: bytes) -> None:
    assert "nested" in refused(raw).message


@pytest.mark.requirement("specs:arguments:bounded")
def test_size_is_refused_before_anything_reads_it() -> None:
    told = refused(b"\xff" * (256 * 1024 + 1))
    assert told.message == "the arguments are 262145 bytes; at most 262144 are accepted"


@pytest.mark.requirement("specs:arguments:bounded")
@pytest.mark.parametrize(
    "raw",
    [
        b'{"ids": [' + b'"a",' * 60_000 + b'"a"]}',
        b'{"ids": [' + b"1.5," * 60_000 + b"1.5]}",
        b"{" + b",".join(b'"k%d": 1' % n for n in range(20_000)) + b"}",
        b'{"slug": "' + b"a" * 200_000 + b'!"}',
        b'{"any": {' + b",".join(b'"k%d": {}' % n for n in range(15_000)) + b"}, " + b'"x": 1}',
    ],
    ids=["wrong-items", "fractions", "unknown-names", "pattern", "wide"],
)
def test_refusing_costs_no_more_than_reading(raw: bytes) -> None:
    begun = time.process_time()
    refused(raw)
    assert time.process_time() - begun < 1.0


@pytest.mark.requirement("specs:arguments:unknown-names")
@pytest.mark.parametrize(
    "name", ["SQL", "sql ", "\uff53\uff51\uff4c", "__proto__", "constructor", "", "$ref", "sql\u200b"]
)
def test_names_that_look_like_one_are_not_one(name: str) -> None:
    told = refused(json.dumps({name: "SELECT 1"}).encode())
    assert told.rule == "arguments/unknown"
