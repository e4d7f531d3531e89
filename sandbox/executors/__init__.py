"""What exactly would run, and how does it run? One file an engine."""

from __future__ import annotations

from sandbox.executors.executors import ENGINES, Executors
from sandbox.executors.sqlite_catalogue import read_catalogue

__all__ = ["ENGINES", "Executors", "read_catalogue"]
