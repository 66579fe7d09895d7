"""A payment layer with one channel, as far as the control socket asks it."""

from dataclasses import dataclass, field, replace

import trio

from zerostate.errors import ChannelNotFoundError
from zerostate.ids import PeerId, new_channel_id
from zerostate.node.channel_commands import LOOK_S
from zerostate.payment.chain.model import BlockHash, BlockRef, TxHash, TxReceipt
from zerostate.payment.model import ChannelView, Settlement
from zerostate.units import Minor

CHANNEL = new_channel_id()
RECEIPT = TxReceipt(TxHash("0xee"), BlockRef(9, BlockHash("0xbb")), 100, 700, True)
VIEW = ChannelView(
    channel_id=CHANNEL,
    peer_id=PeerId("12D3KooWPayee"),
    role="payer",
    phase="open",
    funded=True,
    deposit=Minor(1000),
    deposit_payee=Minor(0),
    paid=Minor(7),
    withdrawn_payer=Minor(0),
    withdrawn_payee=Minor(0),
    nonce=1,
    window_s=60,
    expires_unix_s=2_000_000_000,
    deadline_s=0,
    tx_hash="0xaa",
    settlement=None,
    in_flight=Minor(0),
    is_compared=True,
)
SETTLEMENT = Settlement(
    channel_id=CHANNEL,
    tx_hash="0xdd",
    block_number=12,
    gas_used=130_907,
    cooperative=True,
    net=Minor(7),
    claimed=Minor(993),
    trace_id="ab" * 16,
    span_id="cd" * 8,
)


@dataclass
class OneChannel:
    """A payment layer with one channel, whose end takes some time."""

    now: ChannelView = VIEW
    calls: list[tuple[object, ...]] = field(default_factory=list)
    fails: Exception | None = None
    is_slow: bool = False
    """Whether it is not settled when the close has returned."""

    step_s: float = 3 * LOOK_S
    """Between two steps of a close."""

    receipt: TxReceipt | None = RECEIPT

    async def views(self):
        return (self.now,)

    async def view(self, channel_id):
        if channel_id != CHANNEL:
            raise ChannelNotFoundError(f"no channel {channel_id}")
        return self.now

    async def close(self, channel_id, *, force=False, wait=False):
        self.calls.append(("close", channel_id, force, wait))
        self.now = replace(self.now, phase="closing")
        await trio.sleep(self.step_s)
        self.now = replace(self.now, tx_hash="0xdd")
        await trio.sleep(self.step_s)
        if self.fails:
            raise self.fails
        if self.is_slow:
            self.now = replace(self.now, phase="disputed", deadline_s=2_000_000_000)
            return None
        self.now = replace(self.now, phase="settled", settlement=SETTLEMENT)
        return SETTLEMENT

    async def dispute(self, channel_id):
        self.calls.append(("dispute", channel_id))
        return self.receipt

    async def withdraw(self, channel_id, *, to_payer=0, to_payee=0):
        self.calls.append(("withdraw", channel_id, to_payer, to_payee))
        return RECEIPT
