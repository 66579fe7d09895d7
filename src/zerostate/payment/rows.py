"""Channels and payments as the store has them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from zerostate.errors import StoreCorruptError
from zerostate.evidence.channel import with_terms
from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.payment.lifecycle import Life
from zerostate.payment.lives import LIFE_COLUMNS, life_of
from zerostate.units import Minor

CHANNEL_COLUMNS: Final = "channel_id, peer_id, role, terms, agreed, proposed"
"""What a channel is saved as, in order."""

CHANNELS: Final = (
    f"SELECT {CHANNEL_COLUMNS}, unsynced, {LIFE_COLUMNS} FROM channels "  # noqa: S608  # constants
    "LEFT JOIN lifecycle USING (channel_id)"
)
"""The query that `channel_row` takes the rows of."""

PAYMENT_COLUMNS: Final = (
    "task_id, channel_id, nonce, state, status, trace_context, interim, paid"
)
"""What a payment is saved as, in order."""

_SHARED_STATE: Final = (
    "(SELECT other.state FROM payments AS other WHERE other.nonce = payments.nonce "
    "AND other.channel_id = payments.channel_id AND other.state IS NOT NULL)"
)

PAYMENTS: Final = (
    "SELECT task_id, channel_id, nonce, "  # noqa: S608  # constants
    f"ifnull(state, {_SHARED_STATE}), status, trace_context, interim, paid, terms "
    "FROM payments JOIN channels USING (channel_id)"
)
"""The query that `payment_row` takes the rows of."""


class Role(StrEnum):
    """Which end of a channel we are."""

    PAYER = "payer"
    PAYEE = "payee"


class PaymentStatus(StrEnum):
    """How far a payment is."""

    PROPOSED = "proposed"
    """Signed by the payer; the payee may or may not have it."""

    REFUSED = "refused"
    """The payee answered with a refusal. It still holds our signature, so the state
    stays in flight and no other may take its nonce."""

    AGREED = "agreed"
    """Signed by both."""


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A stored channel."""

    channel_id: ChannelId
    peer_id: PeerId
    """The counterparty."""

    role: Role
    """Ours."""

    terms: bytes
    agreed: bytes | None
    """The newest co-signed state."""

    proposed: bytes | None
    """The state in flight."""

    life: Life | None = None
    """None for a promise, and when saved: what is stored stays."""

    unsynced: bool = False
    """Restored from a backup, and not yet compared with the counterparty's; saving
    leaves it as it is."""


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A stored payment."""

    task_id: TaskId
    channel_id: ChannelId
    nonce: int
    state: bytes
    """The proposal, or the co-signed state once agreed."""

    status: PaymentStatus
    trace_context: str | None = None
    """W3C ``traceparent`` of its ``payment.transaction``; saving None keeps it."""

    interim: bool = False
    """The task goes on: a later state of the channel pays for it too."""

    paid: Minor = Minor(0)  # noqa: RUF009  # a NewType of an int
    """What earlier states have paid for the task."""


def channel_row(row: tuple[object, ...]) -> ChannelRow:
    """Return a row of `CHANNELS`."""
    channel_id, peer_id, role, kept_terms, agreed, proposed, unsynced, *life = row
    terms = _blob(kept_terms)
    return ChannelRow(
        ChannelId(str(channel_id)),
        PeerId(str(peer_id)),
        Role(str(role)),
        terms,
        None if agreed is None else with_terms(_blob(agreed), terms),
        None if proposed is None else with_terms(_blob(proposed), terms),
        life_of(tuple(life)),
        bool(unsynced),
    )


def payment_row(row: tuple[object, ...]) -> PaymentRow:
    """Return a row of `PAYMENTS`."""
    task_id, channel_id, nonce, state, status, trace_context, interim, paid, terms = row
    return PaymentRow(
        TaskId(str(task_id)),
        ChannelId(str(channel_id)),
        int(str(nonce)),
        with_terms(_blob(state), _blob(terms)),
        PaymentStatus(str(status)),
        None if trace_context is None else str(trace_context),
        bool(interim),
        Minor(int(str(paid))),
    )


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise StoreCorruptError(f"expected bytes, stored is {type(value).__name__}")
    return value
