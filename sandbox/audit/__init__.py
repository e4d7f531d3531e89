"""Does the proof hold? The offline verifier and the auditor: formats shared with the service, code paths not."""

from __future__ import annotations

from sandbox.audit.verify import ProofInvalid, QuorumShort, VerifiedReceipt, verify_receipt

__all__ = ["ProofInvalid", "QuorumShort", "VerifiedReceipt", "verify_receipt"]
