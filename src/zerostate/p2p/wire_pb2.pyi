from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Message(_message.Message):
    __slots__ = ("id", "type", "to", "topic", "sent_unix_ns", "expires_unix_ns", "headers", "body", "in_reply_to", "sequence", "error_code", "error_message", "keep_reply", "cancels")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SENT_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    IN_REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    KEEP_REPLY_FIELD_NUMBER: _ClassVar[int]
    CANCELS_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    type: str
    to: str
    topic: str
    sent_unix_ns: int
    expires_unix_ns: int
    headers: _containers.ScalarMap[str, str]
    body: bytes
    in_reply_to: bytes
    sequence: int
    error_code: str
    error_message: str
    keep_reply: bool
    cancels: bytes
    def __init__(self, id: _Optional[bytes] = ..., type: _Optional[str] = ..., to: _Optional[str] = ..., topic: _Optional[str] = ..., sent_unix_ns: _Optional[int] = ..., expires_unix_ns: _Optional[int] = ..., headers: _Optional[_Mapping[str, str]] = ..., body: _Optional[bytes] = ..., in_reply_to: _Optional[bytes] = ..., sequence: _Optional[int] = ..., error_code: _Optional[str] = ..., error_message: _Optional[str] = ..., keep_reply: bool = ..., cancels: _Optional[bytes] = ..., **kwargs) -> None: ...
