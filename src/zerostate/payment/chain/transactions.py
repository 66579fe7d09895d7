"""Signed transactions of type 2 (EIP-1559), made with our own key and encoder.

The key never leaves `EthKey`, and nothing has to be imported for a second first.
``eth_account`` is the tests' oracle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zerostate.evidence.ethereum import (
    EthAddress,
    EthKey,
    address_bytes,
    keccak256,
)
from zerostate.payment.chain.fees import Fees
from zerostate.payment.chain.model import TxHash

_TYPE: Final = b"\x02"
_SHORT: Final = 55
_V_OFFSET: Final = 27

Rlp = bytes | Sequence["Rlp"]


@dataclass(frozen=True, slots=True)
class TxRequest:
    """What a transaction does, fees apart."""

    to: EthAddress | None
    """None deploys `data`."""

    value_wei: int = 0
    data: bytes = b""


def sign_transaction(
    key: EthKey, request: TxRequest, *, chain_id: int, nonce: int, gas: int, fees: Fees
) -> tuple[bytes, TxHash]:
    """Return the signed transaction and its hash; the same input, the same bytes."""
    fields: list[Rlp] = [
        _number(chain_id),
        _number(nonce),
        _number(fees.tip_wei),
        _number(fees.max_wei),
        _number(gas),
        b"" if request.to is None else address_bytes(request.to),
        _number(request.value_wei),
        request.data,
        [],
    ]
    signature = key.sign(keccak256(_TYPE + encode_rlp(fields))).signature
    parity = signature[64] - _V_OFFSET
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    raw = _TYPE + encode_rlp([*fields, _number(parity), _number(r), _number(s)])
    return raw, TxHash("0x" + keccak256(raw).hex())


def encode_rlp(item: Rlp) -> bytes:
    """Return the Recursive Length Prefix of byte strings and lists of them.

    Ethereum's Yellow Paper, appendix B.
    """
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:  # noqa: PLR2004  # stands for itself
            return item
        return _prefix(len(item), 0x80) + item
    content = b"".join(map(encode_rlp, item))
    return _prefix(len(content), 0xC0) + content


def _prefix(length: int, offset: int) -> bytes:
    if length <= _SHORT:
        return bytes((offset + length,))
    size = _number(length)
    return bytes((offset + _SHORT + len(size),)) + size


def _number(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)
