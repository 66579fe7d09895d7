"""What a watchtower takes from those who hand in states, and what it refuses.

Nothing is trusted but the state: both parties' signatures on it, and a channel that the
contract knows. Who hands it in does not matter, so nobody has to be known.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, final

from zerostate.errors import ChainError, EvidenceError, PaymentError, StoreError
from zerostate.evidence.channel import (
    MAX_STATE_BYTES,
    ChannelStateEvidence,
    verify_cosigned,
)
from zerostate.evidence.ethereum import EthAddress
from zerostate.ids import ChannelId
from zerostate.payment.chain import Chain, ChannelStatus, OnChainChannel
from zerostate.payment.locks import KeyedLocks
from zerostate.payment.watchtower.store import Kept, Phase, Room, TowerStore

if TYPE_CHECKING:
    # What every peer loads to hand in its states needs no settings of a tower.
    from zerostate.payment.watchtower.config import WatchtowerConfig

_log: Final = logging.getLogger(__name__)


class Refusal(StrEnum):
    """Why a state was not taken."""

    NOT_PROVEN = "not_proven"
    """Malformed, or not signed by both parties."""

    OTHER_CHAIN = "other_chain"
    """For another chain or contract than the tower watches."""

    UNKNOWN_CHANNEL = "unknown_channel"
    """The contract has no such channel, yet."""

    OTHER_PARTIES = "other_parties"
    """The contract has the channel with another payer or payee."""

    SETTLED = "settled"
    """The channel is over."""

    STALE = "stale"
    """The tower, or the contract, knows a newer state or this one's like."""

    FULL = "full"
    """The tower watches as many channels as it takes."""

    OWNER_FULL = "owner_full"
    """It watches as many of one of the parties as it takes of one."""

    UNAVAILABLE = "unavailable"
    """The chain or the disk does not answer; to be tried again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a state that was handed in."""

    refusal: Refusal | None
    detail: str = ""
    channel_id: ChannelId | None = None
    nonce: int = 0


@final
class Intake:
    """Takes states in.

    Args:
        chain: Where channels must exist.
        store: Where states are kept.
        config: The bounds.
        on_kept: Told of each channel with a newer state; must not block.

    Attributes:
        kept: Newer states taken.
        refused: States refused, by reason.
    """

    def __init__(
        self,
        chain: Chain,
        store: TowerStore,
        config: "WatchtowerConfig",
        on_kept: Callable[[ChannelId], None],
    ) -> None:
        self.kept = 0
        self.refused: Final[Counter[Refusal]] = Counter()
        self._chain = chain
        self._store = store
        self._config = config
        self._on_kept = on_kept
        self._locks = KeyedLocks()

    async def accept(self, data: bytes) -> Answer:
        """Keep the state in `data` if it is proven and newer; durable when it returns.

        The newest state again is accepted, and changes nothing. Never raises for what
        `data` says, nor when the chain or the disk does not answer.
        """
        answer = await self._judge(data)
        if answer.refusal is not None:
            self.refused[answer.refusal] += 1
            _log.info("refused a state: %s: %s", answer.refusal, answer.detail)
        return answer

    async def _judge(self, data: bytes) -> Answer:
        if len(data) > MAX_STATE_BYTES:
            return Answer(
                Refusal.NOT_PROVEN, f"{len(data)} bytes; the limit is {MAX_STATE_BYTES}"
            )
        try:
            evidence = verify_cosigned(data)
        except EvidenceError as exc:
            return Answer(Refusal.NOT_PROVEN, str(exc))
        terms = evidence.terms
        ours = self._chain.chain_id, self._chain.contract
        if (terms.chain_id, terms.contract) != ours:
            return Answer(
                Refusal.OTHER_CHAIN, f"this tower watches {ours[1]} on chain {ours[0]}"
            )
        try:
            async with self._locks.hold(evidence.channel_id):
                return await self._keep(evidence, data)
        except (ChainError, StoreError) as exc:
            return Answer(Refusal.UNAVAILABLE, str(exc))
        except PaymentError as exc:
            # Too many wait for this channel.
            return Answer(Refusal.UNAVAILABLE, str(exc))

    async def _keep(self, evidence: ChannelStateEvidence, data: bytes) -> Answer:
        channel_id, nonce = evidence.channel_id, evidence.update.nonce
        known = await self._store.get(channel_id)
        if known is None:
            refusal = _of_chain(
                evidence, await self._chain.channel(channel_id, depth=1)
            )
            if refusal is not None:
                return refusal
        elif known.nonce >= nonce:
            if known.state == data:
                return Answer(None, channel_id=channel_id, nonce=nonce)
            return Answer(Refusal.STALE, f"state {known.nonce} is here already")
        room = await self._store.keep(
            Kept(
                channel_id,
                evidence.terms.payer_address,
                _payee(evidence),
                nonce,
                data,
                Phase.OPEN,
            ),
            max_channels=self._config.max_channels,
            max_per_owner=self._config.max_channels_per_owner,
        )
        if room is not Room.THERE_WAS:
            return self._no_room(room)
        self.kept += 1
        self._on_kept(channel_id)
        return Answer(None, channel_id=channel_id, nonce=nonce)

    def _no_room(self, room: Room) -> Answer:
        if room is Room.FULL:
            return Answer(
                Refusal.FULL,
                f"{self._config.max_channels} channels are watched already",
            )
        most = self._config.max_channels_per_owner
        return Answer(
            Refusal.OWNER_FULL, f"{most} channels of one party are watched already"
        )


def _of_chain(
    evidence: ChannelStateEvidence, on_chain: OnChainChannel
) -> Answer | None:
    """Return why the contract's channel makes a state worthless, None if it does not."""
    if on_chain.status is ChannelStatus.UNKNOWN:
        return Answer(
            Refusal.UNKNOWN_CHANNEL,
            f"the contract has no channel {evidence.channel_id}",
        )
    if on_chain.status is ChannelStatus.SETTLED:
        return Answer(Refusal.SETTLED, f"{evidence.channel_id} is settled")
    signers = evidence.terms.payer_address, _payee(evidence)
    if (on_chain.payer, on_chain.payee) != signers:
        return Answer(
            Refusal.OTHER_PARTIES,
            f"the contract has {evidence.channel_id} with other parties",
        )
    if on_chain.nonce >= evidence.update.nonce:
        return Answer(
            Refusal.STALE, f"the contract knows state {on_chain.nonce} already"
        )
    return None


def _payee(evidence: ChannelStateEvidence) -> EthAddress:
    address = evidence.terms.payee_address
    if address is None:
        raise ValueError("a verified state names the payee's address")
    return address
