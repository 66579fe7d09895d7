"""The contract's binary interface: calls out of values, events out of logs."""

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from zerostate.errors import ChainError
from zerostate.evidence.ethereum import EthAddress, keccak256
from zerostate.ids import ChannelId
from zerostate.payment.chain.model import (
    ChainEvent,
    ChainFact,
    Challenged,
    ChannelStatus,
    Claimed,
    Closing,
    Deposited,
    OnChainChannel,
    Opened,
    Settled,
    Withdrawn,
)
from zerostate.payment.chain.node import RawLog
from zerostate.payment.contract import channel_contract
from zerostate.units import Minor

_SELECTOR_BYTES: Final = 4
_CHANNEL: Final = (
    "address",
    "address",
    "uint256",
    "uint256",
    "uint256",
    "uint256",
    "uint64",
    "int256",
    "uint64",
    "uint64",
    "uint8",
)
_FACTS: Final[dict[str, Callable[..., ChainFact]]] = {
    kind.__name__: kind
    for kind in (Opened, Deposited, Withdrawn, Closing, Challenged, Settled, Claimed)
}


@final
class ContractAbi:
    """Encodes and decodes what the committed contract speaks."""

    def __init__(self) -> None:
        self._calls: dict[str, tuple[bytes, list[str]]] = {}
        self._events: dict[bytes, tuple[str, list[tuple[str, bool]]]] = {}
        for entry in channel_contract().abi:
            inputs = [item["type"] for item in entry["inputs"]]
            signature = keccak256(f"{entry['name']}({','.join(inputs)})".encode())
            if entry["type"] == "event":
                marks = [bool(item["indexed"]) for item in entry["inputs"]]
                fields = list(zip(inputs, marks, strict=True))
                self._events[signature] = (entry["name"], fields)
            elif entry["type"] == "function":
                self._calls[entry["name"]] = (signature[:_SELECTOR_BYTES], inputs)

    def call(self, name: str, *values: object) -> bytes:
        """Return the data of a call of the function `name`."""
        selector, types = self._calls[name]
        return selector + encode(types, values)

    def number(self, output: bytes) -> int:
        """Return what a function that returns one number has returned.

        Raises:
            ChainError: It returned something else.
        """
        (number,) = _decoded(("uint256",), output)
        return int(number)

    def channel(self, channel_id: ChannelId, output: bytes) -> OnChainChannel:
        """Return what ``channels`` has returned.

        Raises:
            ChainError: It returned something else.
        """
        payer, payee, *numbers = _decoded(_CHANNEL, output)
        dep_a, dep_b, wd_a, wd_b, nonce, net, window, deadline, status = numbers
        return OnChainChannel(
            channel_id=channel_id,
            status=ChannelStatus(status),
            payer=EthAddress(payer),
            payee=EthAddress(payee),
            deposit_payer=Minor(dep_a),
            deposit_payee=Minor(dep_b),
            withdrawn_payer=Minor(wd_a),
            withdrawn_payee=Minor(wd_b),
            nonce=nonce,
            net=Minor(net),
            window_s=window,
            deadline_s=deadline,
        )

    def event(self, log: RawLog) -> ChainEvent:
        """Return what a log of the contract tells.

        Raises:
            ChainError: It is not an event of this contract.
        """
        found = self._events.get(log.topics[0]) if log.topics else None
        if found is None:
            raise ChainError(f"{log.tx_hash}: an event that the contract does not have")
        name, fields = found
        indexed = [kind for kind, mark in fields if mark]
        rest = iter(_decoded([kind for kind, mark in fields if not mark], log.data))
        if len(log.topics) != len(indexed) + 1:
            raise ChainError(f"{log.tx_hash}: {name} with {len(log.topics)} topics")
        topics = iter(_decoded(indexed, b"".join(log.topics[1:])))
        values = [next(topics) if mark else next(rest) for _, mark in fields]
        return ChainEvent(_fact(name, values), log.block, log.tx_hash, log.index)


def _fact(name: str, values: Sequence[Any]) -> ChainFact:
    # The fields of each class are the event's arguments, in order.
    return _FACTS[name](*(_id(v) if isinstance(v, bytes) else v for v in values))


def _id(raw: bytes) -> ChannelId:
    return ChannelId("0x" + raw.hex())


def _decoded(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    try:
        return decode(types, data)
    except DecodingError as exc:
        raise ChainError(f"the contract's answer makes no sense: {exc}") from exc
