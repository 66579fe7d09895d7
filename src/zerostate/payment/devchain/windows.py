"""Which challenge windows are open, read from the contract's events.

A unilateral close ends by the clock of the chain, and that only moves with its blocks:
while a window is open, the chain must go on even when nobody sends anything.
"""

from collections.abc import Iterable
from typing import Final

from eth.abc import LogAPI

from zerostate.evidence.ethereum import keccak256
from zerostate.payment.devchain.keyvalue import KeyValueFile

CLOSING_TOPIC: Final = keccak256(b"Closing(bytes32,address,uint64,int256,uint64)")
"""A unilateral close began; the last word of its data is the deadline."""

SETTLED_TOPIC: Final = keccak256(b"Settled(bytes32,uint64,int256,uint256,uint256,bool)")
"""A channel is over."""

MAX_WINDOW_S: Final = 30 * 86_400
"""The contract's longest window; a later deadline is by another contract, and does not
keep this chain awake."""

_WORD_BYTES: Final = 32
_CLOSING_DATA_BYTES: Final = 3 * _WORD_BYTES
_TOPICS: Final = 2


def note_windows(db: KeyValueFile, logs: Iterable[LogAPI], time_s: int) -> None:
    """Note what the `logs` of a block at `time_s` open and end."""
    for log in logs:
        topics = [topic.to_bytes(_WORD_BYTES) for topic in log.topics]
        if len(topics) < _TOPICS:
            continue
        contract, channel = log.address.hex(), topics[1].hex()
        if topics[0] == SETTLED_TOPIC:
            db.drop_window(contract, channel)
        elif topics[0] == CLOSING_TOPIC and len(log.data) == _CLOSING_DATA_BYTES:
            deadline_s = int.from_bytes(log.data[-_WORD_BYTES:])
            if deadline_s <= time_s + MAX_WINDOW_S:
                db.set_window(contract, channel, deadline_s)
    db.drop_windows_until(time_s)
