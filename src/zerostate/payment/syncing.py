"""After a reconnection both ends compare what they know to be signed.

Whoever is behind takes the other's state up, if it carries its own valid signature: it
has signed it, and only forgot (a lost answer, or a store from a backup).
"""

import logging
from dataclasses import replace
from typing import Final, final

from zerostate.errors import EvidenceError, StaleStateError
from zerostate.evidence.channel import decode_state, open_terms, verify_cosigned
from zerostate.ids import ChannelId, PeerId
from zerostate.payment import wire
from zerostate.payment.ledger import agreed_bytes, agreed_of
from zerostate.payment.lifecycle import Phase
from zerostate.payment.means import Means
from zerostate.payment.payer import Payer
from zerostate.payment.state import ChannelState
from zerostate.payment.store import Role

_log: Final = logging.getLogger(__name__)
_SIGNING: Final = frozenset({Phase.OPENING, Phase.OPEN})


@final
class Syncing:
    """Both ends of the handshake."""

    def __init__(self, means: Means, payer: Payer) -> None:
        self._means: Final = means
        self._payer: Final = payer

    async def synchronise(self, peer_id: PeerId) -> None:
        """See `ChannelManager.synchronise`."""
        rows = await self._means.ledger.store.channels(peer_id=peer_id, role=Role.PAYER)
        for row in rows:
            if row.life is None or row.life.phase is not Phase.SETTLED:
                await self._compare(row.channel_id)

    async def on_channel_sync(self, author: PeerId, body: bytes) -> bytes:
        """See `ChannelManager.on_channel_sync`."""
        channel_id, theirs = wire.decode_channel_sync(body)
        ledger = self._means.ledger
        async with ledger.locks.hold(channel_id):
            state = await ledger.load(channel_id, Role.PAYEE, peer_id=author)
            state = await self._adopt(state, Role.PAYEE, theirs)
            return wire.encode_channel_synced(
                agreed_bytes(state), ending=not _is_signing(state)
            )

    async def _compare(self, channel_id: ChannelId) -> None:
        ledger = self._means.ledger
        async with ledger.locks.hold(channel_id):
            state = await ledger.load(channel_id, Role.PAYER)
            if not state.is_open:
                return
            body = wire.encode_channel_sync(channel_id, agreed_bytes(state))
            reply = await self._means.request(
                state.terms.payee, wire.CHANNEL_SYNC, body
            )
            theirs, ending = wire.decode_channel_synced(reply)
            state = await self._adopt(state, Role.PAYER, theirs)
            if ending and state.life is not None and _is_signing(state):
                life = state.life.frozen(Phase.CLOSING)
                await ledger.keep(replace(state, life=life), Role.PAYER)
            else:
                await self._payer.finish_in_flight(state)

    async def _adopt(
        self, state: ChannelState, role: Role, theirs: bytes
    ) -> ChannelState:
        """Return the newer of both, durable.

        Raises:
            EvidenceError: What the other end knows is not signed by both of us.
            StaleStateError: It is of another channel.
        """
        if not state.is_open:
            raise StaleStateError(f"{state.channel_id} is not agreed on yet")
        update = decode_state(theirs).update
        ledger = self._means.ledger
        newer = update.nonce > (state.agreed.update.nonce if state.agreed else -1)
        if newer and _is_signing(state):
            signed = _verified(state, theirs)
            # Ours that is in flight is this one, or was never taken and is too late.
            state = replace(state, agreed=agreed_of(state.terms, signed), proposed=None)
            _log.warning(
                "%s: took up nonce %d, which we had signed",
                state.channel_id,
                update.nonce,
            )
            state = replace(state, unsynced=False)
            await ledger.save_compared(state, role)
        elif state.unsynced:
            state = replace(state, unsynced=False)
            await ledger.keep_compared(state, role)
        return state


def _is_signing(state: ChannelState) -> bool:
    return state.life is None or state.life.phase in _SIGNING


def _verified(state: ChannelState, theirs: bytes) -> bytes:
    evidence = verify_cosigned(theirs)
    ours = state.terms
    same = evidence.terms == ours or (
        open_terms(decode_state(theirs).terms).payee_address == ours.payee_address
    )
    if evidence.channel_id != state.channel_id or not same:
        raise EvidenceError(f"a state of {evidence.channel_id}, not {state.channel_id}")
    return theirs
