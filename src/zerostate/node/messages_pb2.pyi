from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class TaskOffer(_message.Message):
    __slots__ = ("task_id", "guild_id", "manifest", "input_sha256", "module_bytes", "input_bytes")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHA256_FIELD_NUMBER: _ClassVar[int]
    MODULE_BYTES_FIELD_NUMBER: _ClassVar[int]
    INPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    guild_id: str
    manifest: bytes
    input_sha256: bytes
    module_bytes: int
    input_bytes: int
    def __init__(self, task_id: _Optional[str] = ..., guild_id: _Optional[str] = ..., manifest: _Optional[bytes] = ..., input_sha256: _Optional[bytes] = ..., module_bytes: _Optional[int] = ..., input_bytes: _Optional[int] = ...) -> None: ...

class TaskBid(_message.Message):
    __slots__ = ("task_id", "refusal", "price_base", "price_per_gigafuel", "price_max_total", "tasks_ahead", "valid_ms")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    PRICE_BASE_FIELD_NUMBER: _ClassVar[int]
    PRICE_PER_GIGAFUEL_FIELD_NUMBER: _ClassVar[int]
    PRICE_MAX_TOTAL_FIELD_NUMBER: _ClassVar[int]
    TASKS_AHEAD_FIELD_NUMBER: _ClassVar[int]
    VALID_MS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    refusal: str
    price_base: int
    price_per_gigafuel: int
    price_max_total: int
    tasks_ahead: int
    valid_ms: int
    def __init__(self, task_id: _Optional[str] = ..., refusal: _Optional[str] = ..., price_base: _Optional[int] = ..., price_per_gigafuel: _Optional[int] = ..., price_max_total: _Optional[int] = ..., tasks_ahead: _Optional[int] = ..., valid_ms: _Optional[int] = ...) -> None: ...

class TaskRequest(_message.Message):
    __slots__ = ("task_id", "guild_id", "manifest", "module_sha256", "input_sha256", "module_bytes", "input_bytes", "trace_id")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    MODULE_SHA256_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHA256_FIELD_NUMBER: _ClassVar[int]
    MODULE_BYTES_FIELD_NUMBER: _ClassVar[int]
    INPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    guild_id: str
    manifest: bytes
    module_sha256: bytes
    input_sha256: bytes
    module_bytes: int
    input_bytes: int
    trace_id: str
    def __init__(self, task_id: _Optional[str] = ..., guild_id: _Optional[str] = ..., manifest: _Optional[bytes] = ..., module_sha256: _Optional[bytes] = ..., input_sha256: _Optional[bytes] = ..., module_bytes: _Optional[int] = ..., input_bytes: _Optional[int] = ..., trace_id: _Optional[str] = ...) -> None: ...

class TaskAccept(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    def __init__(self, task_id: _Optional[str] = ...) -> None: ...

class TaskInput(_message.Message):
    __slots__ = ("module", "input")
    MODULE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    module: bytes
    input: bytes
    def __init__(self, module: _Optional[bytes] = ..., input: _Optional[bytes] = ...) -> None: ...

class TaskResult(_message.Message):
    __slots__ = ("task_id", "outcome", "message", "output", "receipt")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    outcome: str
    message: str
    output: bytes
    receipt: bytes
    def __init__(self, task_id: _Optional[str] = ..., outcome: _Optional[str] = ..., message: _Optional[str] = ..., output: _Optional[bytes] = ..., receipt: _Optional[bytes] = ...) -> None: ...

class ReceiptShown(_message.Message):
    __slots__ = ("receipt",)
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    receipt: bytes
    def __init__(self, receipt: _Optional[bytes] = ...) -> None: ...

class ReceiptSeen(_message.Message):
    __slots__ = ("statement",)
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    statement: bytes
    def __init__(self, statement: _Optional[bytes] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("duplicate",)
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    duplicate: bool
    def __init__(self, duplicate: bool = ...) -> None: ...
