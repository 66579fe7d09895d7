"""The closed list of message types.

A type becomes part of a span name (``p2p.message.<type>``), so nobody outside may make
one up: a sender refuses an unregistered type, a receiver refuses and counts it.
"""

from typing import Final

from zerostate.errors import UnknownMessageTypeError

GUILD_ANNOUNCE: Final = "guild_announce"
GUILD_DISSOLVE: Final = "guild_dissolve"
GUILD_JOIN: Final = "guild_join"
GUILD_LEAVE: Final = "guild_leave"
GUILD_UPDATE: Final = "guild_update"
GUILD_HEARTBEAT: Final = "guild_heartbeat"
TASK_OFFER: Final = "task_offer"
TASK_BID: Final = "task_bid"
TASK_REQUEST: Final = "task_request"
TASK_ACCEPT: Final = "task_accept"
TASK_RESULT: Final = "task_result"
RECEIPT_WITNESS: Final = "receipt_witness"
CHANNEL_OPEN: Final = "channel_open"
PAYMENT_UPDATE: Final = "payment_update"
CHANNEL_FUNDED: Final = "channel_funded"
CHANNEL_CLOSE: Final = "channel_close"
CHANNEL_WITHDRAW: Final = "channel_withdraw"
CHANNEL_REQUEST: Final = "channel_request"
CHANNEL_SYNC: Final = "channel_sync"

REGISTERED_TYPES: Final = frozenset(
    {
        GUILD_ANNOUNCE,
        GUILD_DISSOLVE,
        GUILD_JOIN,
        GUILD_LEAVE,
        GUILD_UPDATE,
        GUILD_HEARTBEAT,
        TASK_OFFER,
        TASK_BID,
        TASK_REQUEST,
        TASK_ACCEPT,
        TASK_RESULT,
        RECEIPT_WITNESS,
        CHANNEL_OPEN,
        PAYMENT_UPDATE,
        CHANNEL_FUNDED,
        CHANNEL_CLOSE,
        CHANNEL_WITHDRAW,
        CHANNEL_REQUEST,
        CHANNEL_SYNC,
    }
)
"""Every message type. A reply has the type of its request and names it in the wire
field ``in_reply_to``, so replies need no types of their own."""


def require_registered(message_type: str) -> str:
    """Return `message_type` if it is registered.

    Raises:
        UnknownMessageTypeError: It is not in `REGISTERED_TYPES`.
    """
    if message_type not in REGISTERED_TYPES:
        known = ", ".join(sorted(REGISTERED_TYPES))
        raise UnknownMessageTypeError(f"{message_type[:40]!r}; registered are {known}")
    return message_type
