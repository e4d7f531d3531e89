"""Does lint stand whatever its files hold?"""

from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.problems import LintFailed
from sandbox.settings import Settings
from sandbox.specs.live import Targets
from sandbox.specs.tool import KEYS, Surroundings, ToolRead, read_tool
from sandbox.sql import Catalogue, ColumnShape, TableShape
from sandbox.toolspec import NO_SQL, Connection, Digest, FileTarget, HttpCeiling, HttpTarget, SqlCeiling

FIXTURES = Path(__file__).parents[2] / "fixtures" / "specs"
SOURCES = [path.read_bytes() for path in sorted(FIXTURES.glob("*/*.yaml"))]
WORDS = [line.strip().encode() for source in SOURCES for line in source.decode("utf-8", "ignore").splitlines()]
ORDERS = TableShape("orders", (ColumnShape("id", "INTEGER"), ColumnShape("region", "TEXT")), "table", has_rowid=True)
SHOP = Connection(
    name="shop", engine="sqlite", target=FileTarget("/nowhere"), ceiling=SqlCeiling(None), digest=Digest("0" * 64)
)
CRM = Connection(
    name="crm",
    engine="http",
    target=HttpTarget(
        scheme="https",
        host="crm.example.com",
        port=443,
        prefix="",
        auth=None,
        networks=(),
        ca=None,
        ceiling=HttpCeiling(frozenset({"GET"}), None),
    ),
    ceiling=NO_SQL,
    digest=Digest("1" * 64),
)
AROUND = Surroundings(
    Targets({"shop": SHOP, "crm": CRM}, lambda _: Catalogue(MappingProxyType({"orders": ORDERS}), Digest("0" * 64))),
    frozenset({"shop", "crm"}),
    Settings(),
)


def check(read: ToolRead) -> None:
    told = str(LintFailed(read.findings.problems))
    assert told.replace("\n", "").isprintable()
    assert (read.spec is None) == bool(read.findings.problems)


@pytest.mark.requirement("specs:lint:never-crash")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SOURCES), st.data())
def test_damaged_specs_are_problems(source: bytes, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(begin, min(len(source), begin + 40)))
    middle = data.draw(
        st.sampled_from(WORDS) | st.binary(max_size=6) | st.text(max_size=6).map(lambda t: t.encode("utf-8", "replace"))
    )
    check(read_tool("a.yaml", source[:begin] + middle + source[end:], AROUND))


LEAVES = st.sampled_from(
    [
        "x",
        "all",
        "null",
        "5",
        "-1",
        "1.5",
        "true",
        '"5"',
        "[]",
        "{}",
        "sql",
        "integer",
        "EU",
        "[1, [2]]",
        "{a: {b: c}}",
        "~",
        "*a",
    ]
)


@pytest.mark.requirement("specs:lint:never-crash")
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*KEYS, "labels"]), LEAVES), max_size=12))
def test_any_value_under_any_key_is_told(entries: list[tuple[str, str]]) -> None:
    check(read_tool("a.yaml", "".join(f"{key}: {value}\n" for key, value in entries).encode(), AROUND))


SCHEMA_KEYS = st.sampled_from(["type", "properties", "required", "$defs", "$ref", "items", "enum", "allOf"]) | (
    st.sampled_from(["additionalProperties", "pattern", "format", "if", "const"])
)


def _deeper(below: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.dictionaries(SCHEMA_KEYS | st.sampled_from(["a", "sql"]), below, max_size=4)
    return pairs.map(lambda d: "{" + ", ".join(f"{k}: {v}" for k, v in d.items()) + "}") | st.lists(
        below, max_size=3
    ).map(lambda items: "[" + ", ".join(items) + "]")


@pytest.mark.requirement("specs:lint:never-crash")
@settings(max_examples=150, deadline=None)
@given(st.recursive(LEAVES | st.sampled_from(["object", "array", "string", '"#/$defs/a"']), _deeper, max_leaves=12))
def test_any_long_form_is_told(schema: str) -> None:
    head = "spec: tool/v1\nname: a\nversion: 1.0.0\nowner: a\nsummary: a\nkind: sql\neffects: read\nconnection: shop\n"
    text = f"{head}statement: SELECT id FROM orders\ninput_schema: {schema}\n"  # noqa: S608 - YAML
    check(read_tool("a.yaml", text.encode(), AROUND))
