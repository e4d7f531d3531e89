"""`sandbox demo`: the whole story in one terminal."""

from __future__ import annotations


def demo() -> None:
    """Serve real open data from a temporary folder, act as an agent, verify each receipt, tamper with the log."""
    from sandbox.demo.story import tell_story

    tell_story()
