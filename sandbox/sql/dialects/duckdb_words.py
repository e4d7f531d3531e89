"""What is told in place of DuckDB's functions of lists that take a function, or make one?"""

from __future__ import annotations

from typing import Final


def over_list(output: str, condition: str = "") -> str:
    """Return the query that makes the same of each part of a list."""
    return f"`(SELECT {output} FROM unnest(a_list) AS u(x){condition})`"  # noqa: S608 - a sentence, no statement


EACH: Final = over_list("list(x + 1)")
COMPREHENSION: Final = f"a list made by `[… for x in …]` is not accepted; {over_list('array_agg(x + 1)')} is"
