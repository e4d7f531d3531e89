"""With which credential does a plan run? The least one, lent for one call."""

from __future__ import annotations

from sandbox.leases.files import FileLease, Leases
from sandbox.leases.http import HttpLease

__all__ = ["FileLease", "HttpLease", "Leases"]
