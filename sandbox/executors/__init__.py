"""What exactly would run, and how does it run? One file an engine, one line in `EXECUTORS`."""

from __future__ import annotations

from sandbox.executors.executors import EXECUTORS, Executors, read_catalogue

__all__ = ["EXECUTORS", "Executors", "read_catalogue"]
