"""Within rates and concurrency? Token buckets in memory, exact to the next try; they outlive reloads."""

from __future__ import annotations

from sandbox.limits.counts import Counts
from sandbox.limits.limits import Limits

__all__ = ["Counts", "Limits"]
