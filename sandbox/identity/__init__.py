"""Who asks? Credentials become principals here, and nowhere else."""

from __future__ import annotations

from sandbox.identity.authenticator import Authenticator

__all__ = ["Authenticator"]
