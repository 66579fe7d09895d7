"""What can be told of a channel, from what is stored."""

from zerostate.payment.ledger import restored
from zerostate.payment.lifecycle import Phase
from zerostate.payment.model import ChannelView
from zerostate.payment.settling import decode_settlement
from zerostate.payment.store import ChannelRow
from zerostate.units import Minor


def view_of(row: ChannelRow) -> ChannelView:
    """Return what can be told of a stored channel.

    Raises:
        StoreCorruptError: It does not verify.
    """
    state, life, none = restored(row), row.life, Minor(0)
    if life is not None:
        phase = life.phase
    else:
        phase = Phase.OPEN if state.is_open else Phase.OPENING
    return ChannelView(
        channel_id=row.channel_id,
        peer_id=row.peer_id,
        role=row.role.value,
        phase=phase.value,
        funded=life is not None and phase is not Phase.OPENING,
        deposit=state.terms.deposit,
        deposit_payee=life.deposit_payee if life else none,
        paid=state.balance_payee,
        withdrawn_payer=life.withdrawn_payer if life else none,
        withdrawn_payee=life.withdrawn_payee if life else none,
        nonce=state.nonce,
        window_s=life.window_s if life else 0,
        expires_unix_s=life.expires_unix_s if life else 0,
        deadline_s=(life.deadline_s or 0) if life and phase is Phase.DISPUTED else 0,
        tx_hash=(life.tx_hash or "") if life else "",
        settlement=(
            decode_settlement(life.settlement) if life and life.settlement else None
        ),
        in_flight=Minor(state.proposed.update.net - state.balance_payee)
        if state.proposed
        else none,
        is_compared=not state.unsynced,
    )
