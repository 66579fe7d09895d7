from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Receipt(_message.Message):
    __slots__ = ("task_id", "trace_id", "guild_id", "requester", "executor", "manifest_sha256", "module_sha256", "input_sha256", "output_sha256", "outcome", "exit_code", "fuel_used", "memory_peak_bytes", "cpu_time_ns", "wall_time_ns", "started_unix_ns", "ended_unix_ns", "engine_version", "engine_config_sha256", "price", "trap")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    MODULE_SHA256_FIELD_NUMBER: _ClassVar[int]
    INPUT_SHA256_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SHA256_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    FUEL_USED_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    ENDED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_CONFIG_SHA256_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    TRAP_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    trace_id: bytes
    guild_id: str
    requester: str
    executor: str
    manifest_sha256: bytes
    module_sha256: bytes
    input_sha256: bytes
    output_sha256: bytes
    outcome: str
    exit_code: int
    fuel_used: int
    memory_peak_bytes: int
    cpu_time_ns: int
    wall_time_ns: int
    started_unix_ns: int
    ended_unix_ns: int
    engine_version: str
    engine_config_sha256: bytes
    price: int
    trap: str
    def __init__(self, task_id: _Optional[str] = ..., trace_id: _Optional[bytes] = ..., guild_id: _Optional[str] = ..., requester: _Optional[str] = ..., executor: _Optional[str] = ..., manifest_sha256: _Optional[bytes] = ..., module_sha256: _Optional[bytes] = ..., input_sha256: _Optional[bytes] = ..., output_sha256: _Optional[bytes] = ..., outcome: _Optional[str] = ..., exit_code: _Optional[int] = ..., fuel_used: _Optional[int] = ..., memory_peak_bytes: _Optional[int] = ..., cpu_time_ns: _Optional[int] = ..., wall_time_ns: _Optional[int] = ..., started_unix_ns: _Optional[int] = ..., ended_unix_ns: _Optional[int] = ..., engine_version: _Optional[str] = ..., engine_config_sha256: _Optional[bytes] = ..., price: _Optional[int] = ..., trap: _Optional[str] = ...) -> None: ...

class ReceiptWitness(_message.Message):
    __slots__ = ("receipt_sha256", "task_id", "executor", "seen_unix_ns")
    RECEIPT_SHA256_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    SEEN_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    receipt_sha256: bytes
    task_id: str
    executor: str
    seen_unix_ns: int
    def __init__(self, receipt_sha256: _Optional[bytes] = ..., task_id: _Optional[str] = ..., executor: _Optional[str] = ..., seen_unix_ns: _Optional[int] = ...) -> None: ...
