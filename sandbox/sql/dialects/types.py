"""Where do the types of CASTs stand in a text?"""

from __future__ import annotations

from collections.abc import Iterator


def cast_types(keys: list[str]) -> Iterator[int]:
    """Find the tokens between AS and the closing parenthesis of each CAST."""
    if "CAST" not in keys:
        return
    for opening, key in enumerate(keys):
        if key != "CAST" or keys[opening + 1 : opening + 2] != ["("]:
            continue
        depth = 0
        is_type = False
        for index in range(opening + 1, len(keys)):
            depth += (keys[index] == "(") - (keys[index] == ")")
            if depth == 0:
                break
            if is_type:
                yield index
            is_type = is_type or (keys[index] == "AS" and depth == 1)
