from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Record(_message.Message):
    __slots__ = ("key", "sequence", "expires_unix_ns", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    sequence: int
    expires_unix_ns: int
    value: bytes
    def __init__(self, key: _Optional[str] = ..., sequence: _Optional[int] = ..., expires_unix_ns: _Optional[int] = ..., value: _Optional[bytes] = ...) -> None: ...
