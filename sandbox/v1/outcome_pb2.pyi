from sandbox.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Truncation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRUNCATION_UNSPECIFIED: _ClassVar[Truncation]
    TRUNCATION_ROWS: _ClassVar[Truncation]
    TRUNCATION_BYTES: _ClassVar[Truncation]
TRUNCATION_UNSPECIFIED: Truncation
TRUNCATION_ROWS: Truncation
TRUNCATION_BYTES: Truncation

class Column(_message.Message):
    __slots__ = ("name", "type", "declared_type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DECLARED_TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    declared_type: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., declared_type: _Optional[str] = ...) -> None: ...

class OmittedColumn(_message.Message):
    __slots__ = ("relation", "count")
    RELATION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    relation: str
    count: int
    def __init__(self, relation: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("columns", "rows_json", "row_count", "truncation", "omitted_columns")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_JSON_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    OMITTED_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    rows_json: bytes
    row_count: int
    truncation: Truncation
    omitted_columns: _containers.RepeatedCompositeFieldContainer[OmittedColumn]
    def __init__(self, columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., rows_json: _Optional[bytes] = ..., row_count: _Optional[int] = ..., truncation: _Optional[_Union[Truncation, str]] = ..., omitted_columns: _Optional[_Iterable[_Union[OmittedColumn, _Mapping]]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "status_code", "message", "retry_after_ms", "rule", "metadata", "line", "column", "effect")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    STATUS_CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    status_code: int
    message: str
    retry_after_ms: int
    rule: str
    metadata: _containers.ScalarMap[str, str]
    line: int
    column: int
    effect: _record_pb2.Effect
    def __init__(self, reason: _Optional[str] = ..., status_code: _Optional[int] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ..., rule: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., effect: _Optional[_Union[_record_pb2.Effect, str]] = ...) -> None: ...

class Pending(_message.Message):
    __slots__ = ("cause", "retry_after_ms")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[Pending.Cause]
        CAUSE_RUNNING: _ClassVar[Pending.Cause]
        CAUSE_UNRECORDED: _ClassVar[Pending.Cause]
    CAUSE_UNSPECIFIED: Pending.Cause
    CAUSE_RUNNING: Pending.Cause
    CAUSE_UNRECORDED: Pending.Cause
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    cause: Pending.Cause
    retry_after_ms: int
    def __init__(self, cause: _Optional[_Union[Pending.Cause, str]] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class ColumnRight(_message.Message):
    __slots__ = ("relation", "column")
    RELATION_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    relation: str
    column: str
    def __init__(self, relation: _Optional[str] = ..., column: _Optional[str] = ...) -> None: ...

class Rights(_message.Message):
    __slots__ = ("relations", "columns", "functions", "claims", "requests")
    RELATIONS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    relations: _containers.RepeatedScalarFieldContainer[str]
    columns: _containers.RepeatedCompositeFieldContainer[ColumnRight]
    functions: _containers.RepeatedScalarFieldContainer[str]
    claims: _containers.RepeatedScalarFieldContainer[str]
    requests: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, relations: _Optional[_Iterable[str]] = ..., columns: _Optional[_Iterable[_Union[ColumnRight, _Mapping]]] = ..., functions: _Optional[_Iterable[str]] = ..., claims: _Optional[_Iterable[str]] = ..., requests: _Optional[_Iterable[str]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("decision", "rule_ids", "sql_to_run", "rights", "row_filters", "request_to_send")
    class RowFiltersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RULE_IDS_FIELD_NUMBER: _ClassVar[int]
    SQL_TO_RUN_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    ROW_FILTERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TO_SEND_FIELD_NUMBER: _ClassVar[int]
    decision: str
    rule_ids: _containers.RepeatedScalarFieldContainer[str]
    sql_to_run: str
    rights: Rights
    row_filters: _containers.ScalarMap[str, str]
    request_to_send: str
    def __init__(self, decision: _Optional[str] = ..., rule_ids: _Optional[_Iterable[str]] = ..., sql_to_run: _Optional[str] = ..., rights: _Optional[_Union[Rights, _Mapping]] = ..., row_filters: _Optional[_Mapping[str, str]] = ..., request_to_send: _Optional[str] = ...) -> None: ...
