"""How does a reviewer read the log? `sandbox.v1.ExecutionLogService`, the same at every door; it cannot write."""

from __future__ import annotations

from typing import Final, final

from sandbox.doors.desk import Desk
from sandbox.doors.pages import page_size, page_start
from sandbox.reasons import Reason, Refused
from sandbox.stages import Action, Credential, Principal
from sandbox.v1 import execution_log_pb2 as pb

MAX_INDEX: Final = 1 << 62
"""Beyond what any store can count."""


@final
class LogService:
    """Takes each RPC of the service with what the peer presented."""

    def __init__(self, desk: Desk) -> None:
        """Serve what `desk` offers."""
        self._desk = desk

    def get_checkpoint(self, _: pb.GetCheckpointRequest, credential: Credential) -> pb.GetCheckpointResponse:
        """Give the newest checkpoint."""
        self._permitted(credential, Action.GET_CHECKPOINT)
        return pb.GetCheckpointResponse(checkpoint=self._desk.log.checkpoint())

    def list_records(self, request: pb.ListRecordsRequest, credential: Credential) -> pb.ListRecordsResponse:
        """Give a page of records."""
        self._permitted(credential, Action.LIST_RECORDS)
        if request.start_index >= MAX_INDEX:
            raise Refused(Reason.REQUEST_INVALID, f"`start_index` is {request.start_index}; below 2^62 is accepted")
        records, following = self._desk.log.list_records(
            start=page_start(request.page_token, request.start_index),
            limit=page_size(request.page_size),
            tool=request.tool,
            kind=request.kind,
        )
        return pb.ListRecordsResponse(
            records=[pb.LoggedRecord(index=logged.index, record=logged.record) for logged in records],
            next_page_token="" if following is None else str(following),
        )

    def get_receipt(self, request: pb.GetReceiptRequest, credential: Credential) -> pb.GetReceiptResponse:
        """Give a receipt: of the caller's own calls, or of all for those who may list records."""
        principal = self._permitted(credential, Action.GET_RECEIPT)
        own_only = not self._desk.rules.may(principal, Action.LIST_RECORDS)
        of_intent = request.of_intent
        receipt = self._desk.log.receipt(principal, request.call_id, own_only=own_only, of_intent=of_intent)
        return pb.GetReceiptResponse(receipt=receipt)

    def get_consistency_proof(
        self, request: pb.GetConsistencyProofRequest, credential: Credential
    ) -> pb.GetConsistencyProofResponse:
        """Prove that one tree is the beginning of another."""
        self._permitted(credential, Action.GET_CONSISTENCY_PROOF)
        hashes, checkpoint = self._desk.log.consistency_proof(request.first_size, request.second_size)
        return pb.GetConsistencyProofResponse(hashes=hashes, checkpoint=checkpoint)

    def read_payload(self, request: pb.ReadPayloadRequest, credential: Credential) -> pb.ReadPayloadResponse:
        """Decrypt one payload; the reading is on record before the answer leaves."""
        principal = self._permitted(credential, Action.READ_PAYLOAD)
        plaintext, receipt = self._desk.log.read_payload(principal, request.call_id, request.role)
        return pb.ReadPayloadResponse(plaintext=plaintext, access_receipt=receipt)

    def _permitted(self, credential: Credential, action: Action) -> Principal:
        principal = self._desk.guests.principal(credential)
        self._desk.rules.permit_principal(principal, action)
        return principal
