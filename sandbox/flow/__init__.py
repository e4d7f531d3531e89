"""What came from where, and what may go where? Origins of arguments, and results made fit to leave."""

from __future__ import annotations

from sandbox.flow.flow import Flow

__all__ = ["Flow"]
