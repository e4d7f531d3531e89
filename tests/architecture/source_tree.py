"""Which modules are there, and what does each say? The package's syntax trees, for the architecture tests."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Module(NamedTuple):
    """One Python file of the package."""

    name: str
    tree: ast.Module

    def is_in(self, rooms: tuple[str, ...]) -> bool:
        """Whether the module is one of `rooms` or lies in one of them."""
        return any(self.name == room or self.name.startswith(f"{room}.") for room in rooms)


class Imported(NamedTuple):
    """One imported module, spelled out as far as the import statement tells."""

    name: str
    line: int


def planted(name: str, source: str) -> Module:
    """Return a module that does not exist, to show that a check can fail."""
    return Module(name, ast.parse(source))


@functools.cache
def modules() -> Mapping[str, Module]:
    """Return every module of the package but the generated ones, by name."""
    found = {}
    for path in sorted((ROOT / "sandbox").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not name.startswith("sandbox.v1"):
            found[name] = Module(name, ast.parse(path.read_text("utf-8"), str(path)))
    return found


def imports(module: Module) -> Iterator[Imported]:
    """Yield what a module imports, wherever in it: `from a import b` counts as both `a` and `a.b`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (Imported(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield Imported(base, node.lineno)
            yield from (Imported(f"{base}.{alias.name}", node.lineno) for alias in node.names)
