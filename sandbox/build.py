"""Which code is running? The version and a digest of the package's own files, for every record."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@functools.cache
def build_id() -> str:
    """Return `VERSION+DIGEST`: twelve hexadecimal digits of SHA-256 over the package's Python files in path order."""
    root = Path(__file__).parent
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        whole.update(str(path.relative_to(root)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    try:
        released = version("tool-sandbox")
    except PackageNotFoundError:
        released = "0"
    return f"{released}+{whole.hexdigest()[:12]}"
