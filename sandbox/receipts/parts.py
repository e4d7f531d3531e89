"""Which parts of a record are the same again and again? Serialised once: protobuf messages merge by concatenation.

A hot call's record is four parts (generation, principal, plan, and what is its own), of which three are remembered.
"""

from __future__ import annotations

from typing import Final, final

from sandbox.receipts.payloads import SubjectKey
from sandbox.receipts.records import SCHEMA_VERSION, Generation, listed, recorded_binding
from sandbox.receipts.subjects import Subjects
from sandbox.stages import AuthorizedCall, Principal, Rights
from sandbox.toolspec import ToolName, ToolSpec
from sandbox.v1.record_pb2 import Record

MAX_REMEMBERED: Final = 4_096
"""Principals and plans of one generation; beyond it they are forgotten and made anew."""


@final
class RecordParts:
    """The parts of one generation's records."""

    def __init__(self, generation: Generation, subjects: Subjects, boot: bytes) -> None:
        """Serialise what every record of `generation` says, written under the log opened as `boot`."""
        self._generation = generation
        self._subjects = subjects
        self._always = Record(
            schema_version=SCHEMA_VERSION,
            boot_id=boot,
            build=generation.build,
            policy_digest=bytes.fromhex(generation.policy_digest),
            policy_indexes=generation.policy_indexes,
            config_digest=bytes.fromhex(generation.config_digest),
            config_indexes=generation.config_indexes,
        ).SerializeToString()
        self._principals: dict[tuple[bytes, bytes, str], tuple[bytes, SubjectKey]] = {}
        self._specs: dict[str, bytes] = {}
        self._plans: dict[tuple[int, str, tuple[str, ...]], tuple[bytes, Rights]] = {}

    def of_principal(self, principal: Principal) -> tuple[bytes, SubjectKey]:
        """Return what all records of a principal say, generation included, and the key of its subject."""
        place = (principal.token_digest, principal.certificate_digest, principal.subject)
        known = self._principals.get(place)
        if known is None:
            key = self._subjects.key_of(principal.subject)
            part = Record(
                principal_pseudonym=key.pseudonym,
                actor_pseudonyms=[self._subjects.key_of(actor).pseudonym for actor in principal.actors],
                token_digest=principal.token_digest,
                certificate_digest=principal.certificate_digest,
                binding=recorded_binding(principal),
            ).SerializeToString()
            if len(self._principals) >= MAX_REMEMBERED:
                self._principals.clear()
            known = self._principals[place] = (self._always + part, key)
        return known

    def of_tool(self, name: str) -> bytes:
        """Return what all records of a tool say; nothing of one that does not exist."""
        spec = self._generation.specs.get(ToolName(name))
        return b"" if spec is None else self._of_spec(spec)

    def _of_spec(self, spec: ToolSpec) -> bytes:
        known = self._specs.get(spec.digest)
        if known is None:
            known = self._specs[spec.digest] = Record(
                tool=spec.name,
                tool_version=spec.version,
                spec_digest=bytes.fromhex(spec.digest),
                spec_index=self._generation.spec_indexes[spec.digest],
            ).SerializeToString()
        return known

    def of_plan(self, authorized: AuthorizedCall) -> bytes:
        """Return what all records of a plan say: tool, deciding policies, rights."""
        plan = authorized.planned.plan
        spec = authorized.planned.traced.validated.spec
        # WHY: by identity, for hashing a plan's rights costs more than serialising them; the entry keeps them alive.
        place = (id(plan.rights), spec.digest, authorized.permit.rule_ids)
        known = self._plans.get(place)
        if known is None or known[1] is not plan.rights:
            rights = plan.rights
            part = Record(
                policy_rule_ids=listed(authorized.permit.rule_ids),
                connection=plan.connection,
                relations=listed(rights.relations),
                columns=listed(f"{table}.{column}" for table, column in rights.columns),
                functions=listed(rights.functions),
                requests=listed(rights.requests),
            ).SerializeToString()
            if len(self._plans) >= MAX_REMEMBERED:
                self._plans.clear()
            known = self._plans[place] = (self._of_spec(spec) + part, rights)
        return known[0]
