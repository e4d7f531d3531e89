"""Is what the sandbox relies on there, and nothing more? The administrator's script, and checks that it holds."""

from __future__ import annotations
