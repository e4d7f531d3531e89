"""Does docs/operating.md name every setting, with its default and its bounds?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text("utf-8")
ROW = re.compile(r"^\| `([a-z]+\.[a-z_]+)` \| (.*?) \| (.*?) \|", re.MULTILINE)


def settings() -> Iterator[tuple[str, str, str | None]]:
    """Yield name, default and bounds of each, as the page writes them."""
    for section, told in Settings.model_fields.items():
        for name, field in type(told.default).model_fields.items():
            match field.default:
                case str():
                    default = f'`"{field.default}"`'
                case tuple():
                    default = f"`{list(field.default)}`"
                case bool():
                    default = str(field.default).lower()
                case int():
                    default = f"{field.default:,}"
                case _:
                    default = f"{field.default:,g}"
            bounds = {key: getattr(rule, key) for rule in field.metadata for key in ("ge", "le") if hasattr(rule, key)}
            accepts = f"{bounds['ge']:,.0f} to {bounds['le']:,.0f}" if bounds else None
            yield f"{section}.{name}", default, accepts


@pytest.mark.requirement("house:docs:settings")
def test_every_setting_is_on_the_page_with_its_default_and_bounds() -> None:
    rows = {name: (default, accepts) for name, default, accepts in ROW.findall(PAGE)}
    expected = {name: (default, accepts or rows.get(name, ("", ""))[1]) for name, default, accepts in settings()}
    assert rows == expected
    assert len(rows) > 30
