from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Sealed(_message.Message):
    __slots__ = ("body", "tracestate", "baggage")
    BODY_FIELD_NUMBER: _ClassVar[int]
    TRACESTATE_FIELD_NUMBER: _ClassVar[int]
    BAGGAGE_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    tracestate: bytes
    baggage: bytes
    def __init__(self, body: _Optional[bytes] = ..., tracestate: _Optional[bytes] = ..., baggage: _Optional[bytes] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("guild_id", "creator", "public_key", "capabilities", "observer", "price_base", "price_per_gigafuel", "at_unix_ns")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    OBSERVER_FIELD_NUMBER: _ClassVar[int]
    PRICE_BASE_FIELD_NUMBER: _ClassVar[int]
    PRICE_PER_GIGAFUEL_FIELD_NUMBER: _ClassVar[int]
    AT_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    creator: str
    public_key: bytes
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    observer: bool
    price_base: int
    price_per_gigafuel: int
    at_unix_ns: int
    def __init__(self, guild_id: _Optional[str] = ..., creator: _Optional[str] = ..., public_key: _Optional[bytes] = ..., capabilities: _Optional[_Iterable[str]] = ..., observer: bool = ..., price_base: _Optional[int] = ..., price_per_gigafuel: _Optional[int] = ..., at_unix_ns: _Optional[int] = ...) -> None: ...

class LeaveRequest(_message.Message):
    __slots__ = ("guild_id", "join_sha256")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    JOIN_SHA256_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    join_sha256: bytes
    def __init__(self, guild_id: _Optional[str] = ..., join_sha256: _Optional[bytes] = ...) -> None: ...

class Transition(_message.Message):
    __slots__ = ("guild_id", "version", "kind", "subject", "epoch", "previous_sha256", "at_unix_ns", "evidence", "max_members", "expires_unix_ns")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_SHA256_FIELD_NUMBER: _ClassVar[int]
    AT_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    version: int
    kind: str
    subject: str
    epoch: int
    previous_sha256: bytes
    at_unix_ns: int
    evidence: bytes
    max_members: int
    expires_unix_ns: int
    def __init__(self, guild_id: _Optional[str] = ..., version: _Optional[int] = ..., kind: _Optional[str] = ..., subject: _Optional[str] = ..., epoch: _Optional[int] = ..., previous_sha256: _Optional[bytes] = ..., at_unix_ns: _Optional[int] = ..., evidence: _Optional[bytes] = ..., max_members: _Optional[int] = ..., expires_unix_ns: _Optional[int] = ...) -> None: ...
