"""How does a reviewer on the host read a call? As an identity that policy permits, with the reading on record first."""

from __future__ import annotations

from pathlib import Path

from sandbox.app import House
from sandbox.reasons import Reason, Refused
from sandbox.stages import Action, Credential, Principal
from sandbox.v1 import record_pb2


def read_call(root: Path, name: str, call_id: str) -> tuple[record_pb2.Record, dict[str, bytes]]:
    """Return a call's last record and its decrypted payloads; each reading is a record of its own.

    Works on the deployment's files beside a running service. Raises `Refused` like the RPC `ReadPayload` would.
    """
    house = House.open(root)
    try:
        principal = _principal(house, name)
        house.rules.permit_principal(principal, Action.READ_PAYLOAD)
        record, roles = house.log.payload_roles(call_id)
        return record, {role: house.log.read_payload(principal, call_id, role)[0] for role in roles}
    finally:
        house.close()


def _principal(house: House, name: str) -> Principal:
    deployment = house.deployment
    try:
        certificate = (deployment.pki / "clients" / f"{name}.pem").read_bytes()
        token = (deployment.tokens / f"{name}.jwt").read_text("ascii").strip()
    except OSError as error:
        message = (
            f"there is no identity `{name}` on this host; make one with `sandbox token new {name} --role reviewer`"
        )
        raise Refused(Reason.CREDENTIAL_MISSING, message) from error
    return house.guests.principal(Credential(certificate, token))
