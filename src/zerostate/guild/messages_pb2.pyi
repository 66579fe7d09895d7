from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Announce(_message.Message):
    __slots__ = ("guild_id", "creator", "wanted", "max_members", "expires_unix_ns", "addresses", "heartbeat_ms")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    creator: str
    wanted: _containers.RepeatedScalarFieldContainer[str]
    max_members: int
    expires_unix_ns: int
    addresses: _containers.RepeatedScalarFieldContainer[str]
    heartbeat_ms: int
    def __init__(self, guild_id: _Optional[str] = ..., creator: _Optional[str] = ..., wanted: _Optional[_Iterable[str]] = ..., max_members: _Optional[int] = ..., expires_unix_ns: _Optional[int] = ..., addresses: _Optional[_Iterable[str]] = ..., heartbeat_ms: _Optional[int] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("guild_id", "request")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    request: bytes
    def __init__(self, guild_id: _Optional[str] = ..., request: _Optional[bytes] = ...) -> None: ...

class Joined(_message.Message):
    __slots__ = ("log", "wrapped_key")
    LOG_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_KEY_FIELD_NUMBER: _ClassVar[int]
    log: _containers.RepeatedScalarFieldContainer[bytes]
    wrapped_key: bytes
    def __init__(self, log: _Optional[_Iterable[bytes]] = ..., wrapped_key: _Optional[bytes] = ...) -> None: ...

class Leave(_message.Message):
    __slots__ = ("guild_id", "request")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    request: bytes
    def __init__(self, guild_id: _Optional[str] = ..., request: _Optional[bytes] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("guild_id", "version", "epoch")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    version: int
    epoch: int
    def __init__(self, guild_id: _Optional[str] = ..., version: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class HeartbeatReply(_message.Message):
    __slots__ = ("log", "wrapped_key")
    LOG_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_KEY_FIELD_NUMBER: _ClassVar[int]
    log: _containers.RepeatedScalarFieldContainer[bytes]
    wrapped_key: bytes
    def __init__(self, log: _Optional[_Iterable[bytes]] = ..., wrapped_key: _Optional[bytes] = ...) -> None: ...

class WrappedKey(_message.Message):
    __slots__ = ("peer_id", "wrapped_key")
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_KEY_FIELD_NUMBER: _ClassVar[int]
    peer_id: str
    wrapped_key: bytes
    def __init__(self, peer_id: _Optional[str] = ..., wrapped_key: _Optional[bytes] = ...) -> None: ...

class Update(_message.Message):
    __slots__ = ("log", "keys")
    LOG_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    log: _containers.RepeatedScalarFieldContainer[bytes]
    keys: _containers.RepeatedCompositeFieldContainer[WrappedKey]
    def __init__(self, log: _Optional[_Iterable[bytes]] = ..., keys: _Optional[_Iterable[_Union[WrappedKey, _Mapping]]] = ...) -> None: ...
