"""Does MCP tell an answer so that a model can act on it, and a person see all of it?"""

from __future__ import annotations

import json

import mcp_types
import pytest

from sandbox.client import Tool
from sandbox.doors.mcp.results import META, PENDING, REFUSAL, call_result, seen, untold_result
from sandbox.doors.mcp.server import _plain_names
from sandbox.v1 import outcome_pb2
from sandbox.v1 import tool_execution_pb2 as pb


def text_of(result: mcp_types.CallToolResult, at: int = 0) -> str:
    content = result.content[at]
    assert isinstance(content, mcp_types.TextContent)
    return content.text


@pytest.mark.requirement("mcp:results:seen")
@pytest.mark.parametrize(
    "hidden",
    [
        "\x1b[2J",
        "\x9b31m",
        "\u202e",
        "\u200b",
        "\u2066",
        "\ufeff",
        "\U000e0041",
        "\u2028",
        "\ufe01",
        "\U000e0101",
        "\u00ad",
        "\u3164",
    ],
)
def test_no_character_that_is_not_seen_goes_out_as_it_is(hidden: str) -> None:
    rows = json.dumps([[f"a{hidden}b"]], ensure_ascii=False)
    shown = text_of(call_result(pb.ExecuteResponse(call_id="1", result=outcome_pb2.Result(rows_json=rows.encode()))))
    told = text_of(call_result(pb.ExecuteResponse(refusal=outcome_pb2.Refusal(reason="X", message=f"a{hidden}b"))))

    for text in (shown, told):
        assert not any(character in text for character in hidden if not character.isprintable())
        assert "a\\" in text
    assert json.loads(shown)["rows"] == [[f"a{hidden}b"]]


@pytest.mark.requirement("mcp:results:seen")
def test_letters_of_every_script_stay() -> None:
    assert seen({"a": "Zoë ☃ 日本 𝄞 עברית"}) == '{"a":"Zoë ☃ 日本 𝄞 עברית"}'


@pytest.mark.requirement("mcp:results:untold")
def test_a_call_that_is_not_finished_says_when_to_ask_again() -> None:
    result = call_result(pb.ExecuteResponse(call_id="7", pending=outcome_pb2.Pending(retry_after_ms=1500)))

    assert (result.is_error, result.structured_content) == (True, None)
    assert "ask again in 1.5 s" in text_of(result)
    assert json.loads(text_of(result, 1)) == {"pending": {"retry_after_s": 1.5}, "call_id": "7"}
    assert result.meta == {PENDING: {"retry_after_s": 1.5}, META: {"call_id": "7"}}


@pytest.mark.requirement("mcp:results:untold")
def test_what_has_no_receipt_has_its_reason_and_its_delay() -> None:
    result = untold_result("RATE_LIMITED", "30 calls a minute reached", 12)

    assert text_of(result) == "RATE_LIMITED: 30 calls a minute reached; try again in 12 s"
    facts = {"reason": "RATE_LIMITED", "message": "30 calls a minute reached", "retry_after_s": 12.0}
    assert (result.is_error, result.meta) == (True, {REFUSAL: facts})
    assert json.loads(text_of(result, 1)) == {"refusal": facts}


@pytest.mark.requirement("mcp:results:untold")
def test_a_delay_that_the_message_tells_is_told_once() -> None:
    result = untold_result("RATE_LIMITED", "`shop.query` takes 1 calls in 0.5 s; wait 501 ms", 0.5)

    assert text_of(result) == "RATE_LIMITED: `shop.query` takes 1 calls in 0.5 s; wait 501 ms"


@pytest.mark.requirement("mcp:bridge:names")
def test_a_refusal_names_tools_as_the_host_knows_them() -> None:
    message = "`shop.query` takes 1 calls in 60 s; `shop.queries` is a table"
    refusal = outcome_pb2.Refusal(reason="RATE_LIMITED", message=message)
    renamed = {"shop.query": "shop__query"}
    told = "RATE_LIMITED: `shop__query` takes 1 calls in 60 s; `shop.queries` is a table"

    assert text_of(call_result(pb.ExecuteResponse(refusal=refusal), renamed)) == told
    assert text_of(untold_result("RATE_LIMITED", message, renamed=renamed)) == told
    assert refusal.message == message


@pytest.mark.requirement("mcp:results:schema")
def test_a_refusal_has_no_structured_content_which_the_schema_of_results_would_not_fit() -> None:
    refusal = outcome_pb2.Refusal(reason="SQL_NOT_READ_ONLY", message="no", rule="sql/read-only", line=1, column=3)
    result = call_result(pb.ExecuteResponse(call_id="7", receipt=b"r", refusal=refusal))

    assert (result.is_error, result.structured_content) == (True, None)
    assert text_of(result) == "SQL_NOT_READ_ONLY: no (line 1, column 3 of the text)"
    facts = {"reason": "SQL_NOT_READ_ONLY", "message": "no", "rule": "sql/read-only", "line": 1, "column": 3}
    assert result.meta is not None
    assert (result.meta[REFUSAL], result.meta[META]["call_id"]) == (facts, "7")
    assert json.loads(text_of(result, 1)) == {"refusal": facts, **result.meta[META]}
    assert result.content[1].annotations == mcp_types.Annotations(audience=["user"])


@pytest.mark.requirement("mcp:results:schema")
def test_what_is_cut_off_or_left_out_is_said() -> None:
    cut = outcome_pb2.Result(rows_json=b"[[1]]", row_count=1, truncation=outcome_pb2.TRUNCATION_ROWS)
    cut.omitted_columns.add(relation="orders", count=2)
    told = call_result(pb.ExecuteResponse(call_id="1", result=cut)).structured_content

    assert told is not None
    assert (told["truncated_by"], told["omitted_columns"], told["row_count"]) == ("rows", {"orders": 2}, 1)


@pytest.mark.requirement("mcp:bridge:names")
def test_of_two_tools_that_one_plain_name_would_fit_none_is_called_for_the_other() -> None:
    named = _plain_names([tool("shop.query"), tool("shop__query"), tool("a.b.c"), tool("a__b.c")])

    assert named == {"shop.query": "shop.query", "shop__query": "shop__query", "a.b.c": "a__b__c", "a__b.c": "a__b.c"}


def tool(name: str) -> Tool:
    return Tool(
        name=name,
        version="1",
        summary="",
        use_when="",
        effects="read",
        input_schema={},
        output_schema={},
        examples=(),
        spec_digest="",
    )
