from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecordKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECORD_KIND_UNSPECIFIED: _ClassVar[RecordKind]
    RECORD_KIND_READ: _ClassVar[RecordKind]
    RECORD_KIND_INTENT: _ClassVar[RecordKind]
    RECORD_KIND_OUTCOME: _ClassVar[RecordKind]
    RECORD_KIND_REFUSAL: _ClassVar[RecordKind]
    RECORD_KIND_REFUSALS_COUNTED: _ClassVar[RecordKind]
    RECORD_KIND_PENDING: _ClassVar[RecordKind]
    RECORD_KIND_APPROVAL: _ClassVar[RecordKind]
    RECORD_KIND_SESSION: _ClassVar[RecordKind]
    RECORD_KIND_KEY: _ClassVar[RecordKind]
    RECORD_KIND_SPEC: _ClassVar[RecordKind]
    RECORD_KIND_POLICY: _ClassVar[RecordKind]
    RECORD_KIND_CONFIG: _ClassVar[RecordKind]
    RECORD_KIND_ACCESS: _ClassVar[RecordKind]
    RECORD_KIND_ERASURE: _ClassVar[RecordKind]
    RECORD_KIND_ORPHAN: _ClassVar[RecordKind]
    RECORD_KIND_EXPLANATION: _ClassVar[RecordKind]
    RECORD_KIND_RETENTION: _ClassVar[RecordKind]
    RECORD_KIND_SELF_TEST: _ClassVar[RecordKind]

class RecordStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECORD_STATUS_UNSPECIFIED: _ClassVar[RecordStatus]
    RECORD_STATUS_OK: _ClassVar[RecordStatus]
    RECORD_STATUS_REFUSED: _ClassVar[RecordStatus]
    RECORD_STATUS_FAULT: _ClassVar[RecordStatus]

class Effect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EFFECT_UNSPECIFIED: _ClassVar[Effect]
    EFFECT_NONE: _ClassVar[Effect]
    EFFECT_DONE: _ClassVar[Effect]
    EFFECT_UNKNOWN: _ClassVar[Effect]
RECORD_KIND_UNSPECIFIED: RecordKind
RECORD_KIND_READ: RecordKind
RECORD_KIND_INTENT: RecordKind
RECORD_KIND_OUTCOME: RecordKind
RECORD_KIND_REFUSAL: RecordKind
RECORD_KIND_REFUSALS_COUNTED: RecordKind
RECORD_KIND_PENDING: RecordKind
RECORD_KIND_APPROVAL: RecordKind
RECORD_KIND_SESSION: RecordKind
RECORD_KIND_KEY: RecordKind
RECORD_KIND_SPEC: RecordKind
RECORD_KIND_POLICY: RecordKind
RECORD_KIND_CONFIG: RecordKind
RECORD_KIND_ACCESS: RecordKind
RECORD_KIND_ERASURE: RecordKind
RECORD_KIND_ORPHAN: RecordKind
RECORD_KIND_EXPLANATION: RecordKind
RECORD_KIND_RETENTION: RecordKind
RECORD_KIND_SELF_TEST: RecordKind
RECORD_STATUS_UNSPECIFIED: RecordStatus
RECORD_STATUS_OK: RecordStatus
RECORD_STATUS_REFUSED: RecordStatus
RECORD_STATUS_FAULT: RecordStatus
EFFECT_UNSPECIFIED: Effect
EFFECT_NONE: Effect
EFFECT_DONE: Effect
EFFECT_UNKNOWN: Effect

class PayloadDescriptor(_message.Message):
    __slots__ = ("role", "ciphertext_sha256", "size_class", "key_commitment", "plaintext_commitment")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_CLASS_FIELD_NUMBER: _ClassVar[int]
    KEY_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    PLAINTEXT_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    ciphertext_sha256: bytes
    size_class: int
    key_commitment: bytes
    plaintext_commitment: bytes
    def __init__(self, role: _Optional[str] = ..., ciphertext_sha256: _Optional[bytes] = ..., size_class: _Optional[int] = ..., key_commitment: _Optional[bytes] = ..., plaintext_commitment: _Optional[bytes] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decide_us", "execute_us")
    DECIDE_US_FIELD_NUMBER: _ClassVar[int]
    EXECUTE_US_FIELD_NUMBER: _ClassVar[int]
    decide_us: int
    execute_us: int
    def __init__(self, decide_us: _Optional[int] = ..., execute_us: _Optional[int] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("schema_version", "kind", "call_id", "wall_time_us", "boot_id", "build", "door", "principal_pseudonym", "actor_pseudonyms", "token_digest", "certificate_digest", "tool", "tool_version", "spec_digest", "spec_index", "policy_digest", "policy_indexes", "config_digest", "config_indexes", "status", "reason", "rule", "policy_rule_ids", "connection", "relations", "columns", "functions", "lease_digest", "rows", "bytes", "truncation", "timings", "payloads", "counted", "about_index_plus_one", "file", "verifier_key", "effect", "requests", "payloads_below", "payload_days", "archived_size", "archived_root", "lease_expires_us", "binding", "token_sequence", "previous_record_sha256")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_US_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    DOOR_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_PSEUDONYM_FIELD_NUMBER: _ClassVar[int]
    ACTOR_PSEUDONYMS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    TOOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SPEC_INDEX_FIELD_NUMBER: _ClassVar[int]
    POLICY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    POLICY_INDEXES_FIELD_NUMBER: _ClassVar[int]
    CONFIG_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONFIG_INDEXES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    POLICY_RULE_IDS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    RELATIONS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    LEASE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    ABOUT_INDEX_PLUS_ONE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    VERIFIER_KEY_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_BELOW_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_DAYS_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_SIZE_FIELD_NUMBER: _ClassVar[int]
    ARCHIVED_ROOT_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_US_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    TOKEN_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_RECORD_SHA256_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    kind: RecordKind
    call_id: str
    wall_time_us: int
    boot_id: bytes
    build: str
    door: str
    principal_pseudonym: bytes
    actor_pseudonyms: _containers.RepeatedScalarFieldContainer[bytes]
    token_digest: bytes
    certificate_digest: bytes
    tool: str
    tool_version: str
    spec_digest: bytes
    spec_index: int
    policy_digest: bytes
    policy_indexes: _containers.RepeatedScalarFieldContainer[int]
    config_digest: bytes
    config_indexes: _containers.RepeatedScalarFieldContainer[int]
    status: RecordStatus
    reason: str
    rule: str
    policy_rule_ids: _containers.RepeatedScalarFieldContainer[str]
    connection: str
    relations: _containers.RepeatedScalarFieldContainer[str]
    columns: _containers.RepeatedScalarFieldContainer[str]
    functions: _containers.RepeatedScalarFieldContainer[str]
    lease_digest: bytes
    rows: int
    bytes: int
    truncation: int
    timings: Timings
    payloads: _containers.RepeatedCompositeFieldContainer[PayloadDescriptor]
    counted: int
    about_index_plus_one: int
    file: str
    verifier_key: str
    effect: Effect
    requests: _containers.RepeatedScalarFieldContainer[str]
    payloads_below: int
    payload_days: int
    archived_size: int
    archived_root: bytes
    lease_expires_us: int
    binding: str
    token_sequence: int
    previous_record_sha256: bytes
    def __init__(self, schema_version: _Optional[int] = ..., kind: _Optional[_Union[RecordKind, str]] = ..., call_id: _Optional[str] = ..., wall_time_us: _Optional[int] = ..., boot_id: _Optional[bytes] = ..., build: _Optional[str] = ..., door: _Optional[str] = ..., principal_pseudonym: _Optional[bytes] = ..., actor_pseudonyms: _Optional[_Iterable[bytes]] = ..., token_digest: _Optional[bytes] = ..., certificate_digest: _Optional[bytes] = ..., tool: _Optional[str] = ..., tool_version: _Optional[str] = ..., spec_digest: _Optional[bytes] = ..., spec_index: _Optional[int] = ..., policy_digest: _Optional[bytes] = ..., policy_indexes: _Optional[_Iterable[int]] = ..., config_digest: _Optional[bytes] = ..., config_indexes: _Optional[_Iterable[int]] = ..., status: _Optional[_Union[RecordStatus, str]] = ..., reason: _Optional[str] = ..., rule: _Optional[str] = ..., policy_rule_ids: _Optional[_Iterable[str]] = ..., connection: _Optional[str] = ..., relations: _Optional[_Iterable[str]] = ..., columns: _Optional[_Iterable[str]] = ..., functions: _Optional[_Iterable[str]] = ..., lease_digest: _Optional[bytes] = ..., rows: _Optional[int] = ..., bytes: _Optional[int] = ..., truncation: _Optional[int] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., payloads: _Optional[_Iterable[_Union[PayloadDescriptor, _Mapping]]] = ..., counted: _Optional[int] = ..., about_index_plus_one: _Optional[int] = ..., file: _Optional[str] = ..., verifier_key: _Optional[str] = ..., effect: _Optional[_Union[Effect, str]] = ..., requests: _Optional[_Iterable[str]] = ..., payloads_below: _Optional[int] = ..., payload_days: _Optional[int] = ..., archived_size: _Optional[int] = ..., archived_root: _Optional[bytes] = ..., lease_expires_us: _Optional[int] = ..., binding: _Optional[str] = ..., token_sequence: _Optional[int] = ..., previous_record_sha256: _Optional[bytes] = ...) -> None: ...
