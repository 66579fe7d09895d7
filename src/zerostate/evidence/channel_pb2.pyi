from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AddressBinding(_message.Message):
    __slots__ = ("address", "signature")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    signature: bytes
    def __init__(self, address: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class ChannelTerms(_message.Message):
    __slots__ = ("chain_id", "contract", "payer_binding", "payee_peer_id", "payee_binding", "deposit", "salt")
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    PAYER_BINDING_FIELD_NUMBER: _ClassVar[int]
    PAYEE_PEER_ID_FIELD_NUMBER: _ClassVar[int]
    PAYEE_BINDING_FIELD_NUMBER: _ClassVar[int]
    DEPOSIT_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    chain_id: int
    contract: bytes
    payer_binding: bytes
    payee_peer_id: str
    payee_binding: bytes
    deposit: int
    salt: bytes
    def __init__(self, chain_id: _Optional[int] = ..., contract: _Optional[bytes] = ..., payer_binding: _Optional[bytes] = ..., payee_peer_id: _Optional[str] = ..., payee_binding: _Optional[bytes] = ..., deposit: _Optional[int] = ..., salt: _Optional[bytes] = ...) -> None: ...

class SignedState(_message.Message):
    __slots__ = ("terms", "nonce", "net", "task_id", "receipt_sha256", "amount", "payer_signature", "payee_signature", "others")
    TERMS_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_SHA256_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    PAYER_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PAYEE_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    terms: bytes
    nonce: int
    net: int
    task_id: str
    receipt_sha256: bytes
    amount: int
    payer_signature: bytes
    payee_signature: bytes
    others: _containers.RepeatedCompositeFieldContainer[TaskPayment]
    def __init__(self, terms: _Optional[bytes] = ..., nonce: _Optional[int] = ..., net: _Optional[int] = ..., task_id: _Optional[str] = ..., receipt_sha256: _Optional[bytes] = ..., amount: _Optional[int] = ..., payer_signature: _Optional[bytes] = ..., payee_signature: _Optional[bytes] = ..., others: _Optional[_Iterable[_Union[TaskPayment, _Mapping]]] = ...) -> None: ...

class TaskPayment(_message.Message):
    __slots__ = ("task_id", "receipt_sha256", "amount")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_SHA256_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    receipt_sha256: bytes
    amount: int
    def __init__(self, task_id: _Optional[str] = ..., receipt_sha256: _Optional[bytes] = ..., amount: _Optional[int] = ...) -> None: ...
