"""Does docs/tool-specs.md name everything that a spec can say, and everything that is refused by name?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.reasons import REASONS
from sandbox.specs.access import MASKS
from sandbox.specs.compiled import FORMATS
from sandbox.specs.document import NOT_BUILT_KEYS
from sandbox.specs.http_spec import COLUMN_KEYS, PICKED_TYPES, REQUEST_KEYS, RESPONSE_KEYS
from sandbox.specs.inputs import KEYS_OF_TYPE
from sandbox.specs.tool import EFFECTS, KEYS, KINDS, LATER_KINDS
from sandbox.toolspec import ToolLimits

PAGE = (Path(__file__).parents[3] / "docs" / "tool-specs.md").read_text("utf-8")
WORDS = set(re.findall(r"[\w/.-]+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))


@pytest.mark.requirement("specs:page:whole")
@pytest.mark.parametrize(
    "words",
    [
        KEYS,
        [*REQUEST_KEYS, *RESPONSE_KEYS, *COLUMN_KEYS, *PICKED_TYPES],
        KINDS + EFFECTS,
        [*KEYS_OF_TYPE, *{key for keys in KEYS_OF_TYPE.values() for key in keys}, "help", "required"],
        MASKS,
        ToolLimits.__dataclass_fields__,
        FORMATS,
        ["as", "call", "expect", "row_count", "rows", "refused", "tables", "columns", "row_filter", "mask", "all"],
        [*NOT_BUILT_KEYS, *LATER_KINDS],
    ],
    ids=["keys", "exchange", "values", "arguments", "masks", "limits", "formats", "parts", "not-built"],
)
def test_every_word_of_the_format_is_on_the_page(words: list[str]) -> None:
    assert [word for word in words if word not in WORDS] == []


@pytest.mark.requirement("specs:page:whole")
def test_the_page_says_plainly_what_an_authors_statement_shows() -> None:
    assert re.search(r"without `claim\(\)` and without a `row_filter` shows \*\*all rows\*\*", PAGE)
    assert {word for word in WORDS if word.isupper() and "_" in word} <= {reason.value for reason in REASONS}
