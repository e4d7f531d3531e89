from sandbox.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetCheckpointRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: bytes
    def __init__(self, checkpoint: _Optional[bytes] = ...) -> None: ...

class LoggedRecord(_message.Message):
    __slots__ = ("index", "record")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    index: int
    record: bytes
    def __init__(self, index: _Optional[int] = ..., record: _Optional[bytes] = ...) -> None: ...

class ListRecordsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "start_index", "tool", "kind")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    START_INDEX_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    start_index: int
    tool: str
    kind: _record_pb2.RecordKind
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., start_index: _Optional[int] = ..., tool: _Optional[str] = ..., kind: _Optional[_Union[_record_pb2.RecordKind, str]] = ...) -> None: ...

class ListRecordsResponse(_message.Message):
    __slots__ = ("records", "next_page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[LoggedRecord]
    next_page_token: str
    def __init__(self, records: _Optional[_Iterable[_Union[LoggedRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetReceiptRequest(_message.Message):
    __slots__ = ("call_id", "of_intent")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    OF_INTENT_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    of_intent: bool
    def __init__(self, call_id: _Optional[str] = ..., of_intent: _Optional[bool] = ...) -> None: ...

class GetReceiptResponse(_message.Message):
    __slots__ = ("receipt",)
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    receipt: bytes
    def __init__(self, receipt: _Optional[bytes] = ...) -> None: ...

class GetConsistencyProofRequest(_message.Message):
    __slots__ = ("first_size", "second_size")
    FIRST_SIZE_FIELD_NUMBER: _ClassVar[int]
    SECOND_SIZE_FIELD_NUMBER: _ClassVar[int]
    first_size: int
    second_size: int
    def __init__(self, first_size: _Optional[int] = ..., second_size: _Optional[int] = ...) -> None: ...

class GetConsistencyProofResponse(_message.Message):
    __slots__ = ("hashes", "checkpoint")
    HASHES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    hashes: _containers.RepeatedScalarFieldContainer[bytes]
    checkpoint: bytes
    def __init__(self, hashes: _Optional[_Iterable[bytes]] = ..., checkpoint: _Optional[bytes] = ...) -> None: ...

class ReadPayloadRequest(_message.Message):
    __slots__ = ("call_id", "role")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    role: str
    def __init__(self, call_id: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class ReadPayloadResponse(_message.Message):
    __slots__ = ("plaintext", "access_receipt")
    PLAINTEXT_FIELD_NUMBER: _ClassVar[int]
    ACCESS_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    plaintext: bytes
    access_receipt: bytes
    def __init__(self, plaintext: _Optional[bytes] = ..., access_receipt: _Optional[bytes] = ...) -> None: ...
