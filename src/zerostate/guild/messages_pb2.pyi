from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Announce(_message.Message):
    __slots__ = ("guild_id", "creator", "wanted", "max_members", "expires_unix_ns", "addresses")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    CREATOR_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    creator: str
    wanted: _containers.RepeatedScalarFieldContainer[str]
    max_members: int
    expires_unix_ns: int
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, guild_id: _Optional[str] = ..., creator: _Optional[str] = ..., wanted: _Optional[_Iterable[str]] = ..., max_members: _Optional[int] = ..., expires_unix_ns: _Optional[int] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class Dissolve(_message.Message):
    __slots__ = ("guild_id",)
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    def __init__(self, guild_id: _Optional[str] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("peer_id", "role", "capabilities")
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    peer_id: str
    role: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, peer_id: _Optional[str] = ..., role: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("guild_id", "capabilities")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, guild_id: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class Membership(_message.Message):
    __slots__ = ("guild_id", "version", "members")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    version: int
    members: _containers.RepeatedCompositeFieldContainer[Member]
    def __init__(self, guild_id: _Optional[str] = ..., version: _Optional[int] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("guild_id", "membership_version")
    GUILD_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_VERSION_FIELD_NUMBER: _ClassVar[int]
    guild_id: str
    membership_version: int
    def __init__(self, guild_id: _Optional[str] = ..., membership_version: _Optional[int] = ...) -> None: ...
