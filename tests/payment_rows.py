"""Rows of the payment store that only look like what is stored."""

from payment_parties import PAYEE
from zerostate.evidence.channel import SignedState, encode_state
from zerostate.evidence.channel_update import ChannelUpdate
from zerostate.ids import ChannelId, TaskId
from zerostate.payment.rows import ChannelRow, Role
from zerostate.units import Minor

TASK = TaskId("task-" + "0a" * 16)
PROPOSED = TaskId("task-" + "0c" * 16)


TERMS = b"terms"


def state_of(says: bytes) -> bytes:
    """Return what only looks like an encoded state: its terms, then what it says."""
    return bytes((0x0A, len(TERMS))) + TERMS + says


def proposal(task_id: TaskId = PROPOSED, terms: bytes = TERMS) -> bytes:
    update = ChannelUpdate(2, Minor(5), task_id, "ab" * 32, Minor(5))
    return encode_state(SignedState(terms, update, b"signature"))


def channel_row(channel_id: ChannelId, agreed: bytes | None = None) -> ChannelRow:
    return ChannelRow(
        channel_id,
        PAYEE.peer_id,
        Role.PAYER,
        TERMS,
        agreed or state_of(b"state 0"),
        proposal(),
    )
