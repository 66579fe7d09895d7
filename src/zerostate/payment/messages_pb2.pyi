from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChannelOpen(_message.Message):
    __slots__ = ("proposal", "deposit_payee", "window_s", "expires_unix_s")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    DEPOSIT_PAYEE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    proposal: bytes
    deposit_payee: int
    window_s: int
    expires_unix_s: int
    def __init__(self, proposal: _Optional[bytes] = ..., deposit_payee: _Optional[int] = ..., window_s: _Optional[int] = ..., expires_unix_s: _Optional[int] = ...) -> None: ...

class ChannelOpened(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: bytes
    def __init__(self, state: _Optional[bytes] = ...) -> None: ...

class PaymentUpdate(_message.Message):
    __slots__ = ("proposal", "traceparents")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENTS_FIELD_NUMBER: _ClassVar[int]
    proposal: bytes
    traceparents: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, proposal: _Optional[bytes] = ..., traceparents: _Optional[_Iterable[str]] = ...) -> None: ...

class PaymentAccepted(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: bytes
    def __init__(self, state: _Optional[bytes] = ...) -> None: ...

class FinalState(_message.Message):
    __slots__ = ("nonce", "net", "payer_signature", "payee_signature")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    PAYER_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PAYEE_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    net: int
    payer_signature: bytes
    payee_signature: bytes
    def __init__(self, nonce: _Optional[int] = ..., net: _Optional[int] = ..., payer_signature: _Optional[bytes] = ..., payee_signature: _Optional[bytes] = ...) -> None: ...

class PartialWithdrawal(_message.Message):
    __slots__ = ("nonce", "net", "total_payer", "total_payee", "payer_signature", "payee_signature")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    TOTAL_PAYER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_PAYEE_FIELD_NUMBER: _ClassVar[int]
    PAYER_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PAYEE_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    net: int
    total_payer: int
    total_payee: int
    payer_signature: bytes
    payee_signature: bytes
    def __init__(self, nonce: _Optional[int] = ..., net: _Optional[int] = ..., total_payer: _Optional[int] = ..., total_payee: _Optional[int] = ..., payer_signature: _Optional[bytes] = ..., payee_signature: _Optional[bytes] = ...) -> None: ...

class ChannelFunded(_message.Message):
    __slots__ = ("channel_id",)
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: bytes
    def __init__(self, channel_id: _Optional[bytes] = ...) -> None: ...

class ChannelFundedSeen(_message.Message):
    __slots__ = ("channel_id",)
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: bytes
    def __init__(self, channel_id: _Optional[bytes] = ...) -> None: ...

class ChannelClose(_message.Message):
    __slots__ = ("channel_id", "proposal")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    channel_id: bytes
    proposal: FinalState
    def __init__(self, channel_id: _Optional[bytes] = ..., proposal: _Optional[_Union[FinalState, _Mapping]] = ...) -> None: ...

class ChannelClosed(_message.Message):
    __slots__ = ("final",)
    FINAL_FIELD_NUMBER: _ClassVar[int]
    final: FinalState
    def __init__(self, final: _Optional[_Union[FinalState, _Mapping]] = ...) -> None: ...

class ChannelWithdraw(_message.Message):
    __slots__ = ("channel_id", "proposal")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    channel_id: bytes
    proposal: PartialWithdrawal
    def __init__(self, channel_id: _Optional[bytes] = ..., proposal: _Optional[_Union[PartialWithdrawal, _Mapping]] = ...) -> None: ...

class ChannelWithdrawn(_message.Message):
    __slots__ = ("withdrawal",)
    WITHDRAWAL_FIELD_NUMBER: _ClassVar[int]
    withdrawal: PartialWithdrawal
    def __init__(self, withdrawal: _Optional[_Union[PartialWithdrawal, _Mapping]] = ...) -> None: ...

class ChannelRequest(_message.Message):
    __slots__ = ("channel_id", "wish", "to_payer", "to_payee")
    class Wish(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        WISH_UNSPECIFIED: _ClassVar[ChannelRequest.Wish]
        WISH_CLOSE: _ClassVar[ChannelRequest.Wish]
        WISH_WITHDRAW: _ClassVar[ChannelRequest.Wish]
    WISH_UNSPECIFIED: ChannelRequest.Wish
    WISH_CLOSE: ChannelRequest.Wish
    WISH_WITHDRAW: ChannelRequest.Wish
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    WISH_FIELD_NUMBER: _ClassVar[int]
    TO_PAYER_FIELD_NUMBER: _ClassVar[int]
    TO_PAYEE_FIELD_NUMBER: _ClassVar[int]
    channel_id: bytes
    wish: ChannelRequest.Wish
    to_payer: int
    to_payee: int
    def __init__(self, channel_id: _Optional[bytes] = ..., wish: _Optional[_Union[ChannelRequest.Wish, str]] = ..., to_payer: _Optional[int] = ..., to_payee: _Optional[int] = ...) -> None: ...

class ChannelRequested(_message.Message):
    __slots__ = ("channel_id",)
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    channel_id: bytes
    def __init__(self, channel_id: _Optional[bytes] = ...) -> None: ...

class ChannelSync(_message.Message):
    __slots__ = ("channel_id", "state")
    CHANNEL_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    channel_id: bytes
    state: bytes
    def __init__(self, channel_id: _Optional[bytes] = ..., state: _Optional[bytes] = ...) -> None: ...

class ChannelSynced(_message.Message):
    __slots__ = ("state", "ending")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    state: bytes
    ending: bool
    def __init__(self, state: _Optional[bytes] = ..., ending: bool = ...) -> None: ...

class Pending(_message.Message):
    __slots__ = ("final", "withdrawal")
    FINAL_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_FIELD_NUMBER: _ClassVar[int]
    final: FinalState
    withdrawal: PartialWithdrawal
    def __init__(self, final: _Optional[_Union[FinalState, _Mapping]] = ..., withdrawal: _Optional[_Union[PartialWithdrawal, _Mapping]] = ...) -> None: ...
