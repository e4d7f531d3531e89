"""Does a good spec say afterwards what its author wrote?"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.problems import Problem
from sandbox.toolspec import DEFAULT_MAX_BYTES, Rate, ToolLimits, ToolSpec

GOOD = Path(__file__).parents[2] / "fixtures" / "specs" / "good"
Good = Callable[[str], ToolSpec]


@pytest.mark.requirement("specs:load:design-example")
def test_the_example_of_the_design_loads(good: Good) -> None:
    spec = good("design")
    source = (GOOD / "design.yaml").read_bytes()
    assert (spec.name, spec.version, spec.owner) == ("shop.query", "1.2.0", "shop-data@example.com")
    assert spec.summary == "Read the shop's orders and customers with SQL."
    assert (spec.kind, spec.effects, spec.connection, spec.sql_argument, spec.statement) == (
        "sql", "read", "shop", "sql", None
    )  # fmt: skip
    assert spec.tables["orders"].columns == ("id", "customer_id", "region", "cents", "placed_on")
    assert spec.tables["orders"].row_filter == "region = claim('region')"
    assert spec.tables["customers"].columns == ("id", "name", "city")
    assert dict(spec.tables["customers"].masks) == {"name": "initials"}
    assert spec.tables["customers"].aggregate_only == ("city",)
    assert spec.limits == ToolLimits(
        seconds=5.0, max_rows=500, max_bytes=256 * 1024, rate=Rate(30, 60.0), concurrency=4
    )
    assert (spec.file, spec.source) == ("design.yaml", source)
    assert spec.digest == hashlib.sha256(source).hexdigest()


@pytest.mark.requirement("specs:load:design-example")
def test_the_examples_keep_their_places(good: Good) -> None:
    first, second = good("design").examples
    assert (first.line, second.line) == (19, 22)
    assert first.claims == {"region": "EU"}
    assert first.call == {"sql": "SELECT region, sum(cents) AS cents FROM orders GROUP BY region"}
    assert (first.expected_row_count, first.expected_rows, first.expected_refusal) == (1, None, None)
    assert (second.expected_row_count, second.expected_refusal) == (None, "SQL_NOT_READ_ONLY")


@pytest.mark.requirement("specs:load:design-example")
def test_the_example_of_the_design_is_refused_with_the_keys_not_built(
    problems: Callable[[str], tuple[Problem, ...]],
) -> None:
    text = (GOOD / "design.yaml").read_text()
    full = text + "labels: {integrity: trusted, confidentiality: internal}\n"
    assert [(p.rule, p.message.split(";")[0]) for p in problems(full)] == [
        ("spec/not-built", "`labels` is not built yet in this version"),
    ]


@pytest.mark.requirement("specs:inputs:short-form")
def test_the_short_form_is_json_schema(good: Good) -> None:
    spec = good("statement")
    assert spec.input_schema == {
        "type": "object",
        "properties": {
            "region": {"type": "string", "description": "Sales region", "enum": ["EU", "US", "no", "NO"]},
            "since": {"type": "string", "format": "date"},
            "least": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
            "note": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^(?:[a-z]+)$"},
        },
        "required": ["region", "least", "note"],
        "additionalProperties": False,
    }
    assert spec.sql_argument is None
    assert spec.statement is not None
    assert spec.statement.startswith("SELECT id, cents\n  FROM orders")


@pytest.mark.requirement("specs:access:all-columns")
def test_all_columns_are_spelled_out_and_a_null_mask_is_a_mask(good: Good) -> None:
    rule = good("statement").tables["orders"]
    assert rule.columns == ("id", "customer_id", "region", "cents", "placed_on", "secret")
    assert dict(rule.masks) == {"placed_on": "null"}


@pytest.mark.requirement("specs:yaml:strict")
def test_words_and_times_stay_text(good: Good) -> None:
    example = good("statement").examples[0]
    assert example.call["region"] == "no"
    assert example.expected_rows == ((1, "12:30:45"), (2, None))


@pytest.mark.requirement("specs:access:ceiling")
def test_a_statement_without_rules_has_the_ceiling_alone(good: Good) -> None:
    spec = good("ceiling")
    assert dict(spec.tables) == {}
    assert spec.input_schema == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert spec.limits == ToolLimits(seconds=5.0, max_rows=500, max_bytes=DEFAULT_MAX_BYTES)


@pytest.mark.requirement("specs:inputs:long-form")
def test_the_long_form_is_closed_and_marks_its_sql(good: Good) -> None:
    spec = good("long_form")
    assert spec.sql_argument == "sql"
    assert spec.input_schema["additionalProperties"] is False
    assert spec.input_schema["required"] == ["sql"]
    assert spec.tables["customers"].columns == ("id", "name"), "in the catalogue's order"
