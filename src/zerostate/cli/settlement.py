"""How a channel ended: what linked traces claim of it, and what its chain says. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from zerostate.cli.traces import Trace, TraceSpan
from zerostate.evidence.channel import ChannelStateEvidence
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans

SETTLED: Final = "settled"
"""A channel's status after its end, as `ChainAnswer` has it."""

UNKNOWN: Final = "unknown"
"""The status of a channel that the contract does not know."""

_CHAIN_PREFIX: Final = spans.PAYMENT_CHAIN.name.partition("{")[0]
_SETTLING: Final = tuple(_CHAIN_PREFIX + name for name in ("close", "settle"))
"""The transactions that end a channel."""

_MAX_DIGITS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainAnswer:
    """What the chain says of a channel, at its newest block."""

    status: str
    """``open``, ``closing``, ``settled`` or ``unknown``."""

    payer: str
    payee: str
    deposit: int
    """The payer's."""

    nonce: int
    """Of the newest state that the contract has seen."""

    net: int
    """What that state pays in all."""

    has_transaction: bool | None
    """Whether the claimed settlement is in a block, and succeeded; None: none is."""

    block_number: int | None
    """Its block."""

    settling_tx: str | None
    """Which transaction settled the channel; None: not found within bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of the channel that a task was paid on."""

    trace_ids: tuple[str, ...] = ()
    """The settlement's own traces: payer and payee may record one each."""

    tx_hashes: tuple[str, ...] = ()
    """Claimed; each different value."""

    block_numbers: tuple[str, ...] = ()
    nonces: tuple[str, ...] = ()
    other_channels: tuple[str, ...] = ()
    """Other channels whose settlement is linked with the task's trace."""

    answer: ChainAnswer | None = None
    """None: the chain was not asked."""

    @property
    def is_settled(self) -> bool:
        """Whether the chain says so."""
        return self.answer is not None and self.answer.status == SETTLED


def settlement_of(channel_id: str | None, traces: Sequence[Trace]) -> Settlement:
    """Return what settlement traces claim of the channel.

    Args:
        channel_id: By the signed state, else as claimed; None takes any.
        traces: Those linked with the task's, whose root is ``payment.channel.settle``.
    """
    ours: list[TraceSpan] = []
    trace_ids, others = [], []
    for trace in traces:
        for root in trace.spans:
            if root.name != spans.PAYMENT_CHANNEL_SETTLE.name:
                continue
            named = root.attributes.get(attr.CHANNEL_ID)
            if channel_id in {None, named}:
                trace_ids.append(trace.trace_id)
                ours += [root, *_endings(trace)]
            else:
                others.append(str(named))
    return Settlement(
        trace_ids=tuple(dict.fromkeys(trace_ids)),
        tx_hashes=_claimed(ours, attr.PAYMENT_TX_HASH),
        block_numbers=_claimed(ours, attr.PAYMENT_BLOCK_NUMBER),
        nonces=_claimed(ours, attr.PAYMENT_NONCE),
        other_channels=tuple(dict.fromkeys(others)),
    )


def is_at_least(claimed: str, least: int) -> bool:
    """Whether a claimed number is one, and not below `least`."""
    # Python refuses to read numbers of thousands of digits; ours have twenty.
    is_number = claimed.isdecimal() and len(claimed) <= _MAX_DIGITS
    return is_number and int(claimed) >= least


def contradictions(
    settlement: Settlement, payment: ChannelStateEvidence | None
) -> Iterator[str]:
    """Yield what of the settlement cannot be true together with the payment."""
    for other in settlement.other_channels:
        yield f"a settlement of another channel, {other}, is linked with the trace"
    for name, values in (
        ("settlement transactions", settlement.tx_hashes),
        ("settlement blocks", settlement.block_numbers),
        ("settled nonces", settlement.nonces),
    ):
        if len(values) > 1:
            yield f"different {name} are claimed: {', '.join(values)}"
    if payment is None:
        return
    for nonce in settlement.nonces:
        if not is_at_least(nonce, payment.update.nonce):
            yield (
                f"spans claim that the channel was settled by nonce {nonce}, and the "
                f"payment's is {payment.update.nonce}"
            )
    if settlement.answer is not None:
        yield from _denials(settlement, settlement.answer, payment)


def _denials(
    settlement: Settlement, answer: ChainAnswer, payment: ChannelStateEvidence
) -> Iterator[str]:
    terms, update = payment.terms, payment.update
    if answer.status == UNKNOWN:
        yield f"the chain knows no channel {payment.channel_id}: nothing is locked"
        return
    if (answer.payer, answer.payee) != (terms.payer_address, terms.payee_address):
        yield f"on the chain, {answer.payer} pays {answer.payee}, who are others"
    if answer.deposit < terms.deposit:
        yield f"deposit: {answer.deposit} on the chain, {terms.deposit} signed"
    if settlement.tx_hashes and answer.status != SETTLED:
        yield f"the channel is not settled, but {answer.status}"
    if answer.status == SETTLED and answer.nonce < update.nonce:
        yield (
            f"the chain settled nonce {answer.nonce}, which is older than the "
            f"payment's, {update.nonce}"
        )
    elif answer.status == SETTLED and answer.net < update.net:
        yield f"the chain settled {answer.net}, less than the {update.net} co-signed"
    yield from _missing_transaction(settlement, answer)


def _missing_transaction(settlement: Settlement, answer: ChainAnswer) -> Iterator[str]:
    claimed = ", ".join(settlement.tx_hashes)
    if answer.has_transaction is False:
        yield f"settlement_tx: the chain has no such transaction as {claimed}"
    known = {None, *settlement.tx_hashes}
    if settlement.tx_hashes and answer.settling_tx not in known:
        yield (
            f"settlement_tx: spans claim {claimed}; the chain settled in "
            f"{answer.settling_tx}"
        )
    block = str(answer.block_number)
    if answer.has_transaction and settlement.block_numbers not in {(), (block,)}:
        yield (
            f"settlement_block: spans claim {', '.join(settlement.block_numbers)}; it "
            f"is in {block}"
        )


def _endings(trace: Trace) -> Iterator[TraceSpan]:
    """Yield the transactions that ended the channel, as far as they are told of."""
    return (
        span
        for span in trace.spans
        if span.name in _SETTLING and span.status != "ERROR"
    )


def _claimed(ours: Sequence[TraceSpan], key: str) -> tuple[str, ...]:
    values = (span.attributes.get(key) for span in ours)
    return tuple(dict.fromkeys(str(value) for value in values if value is not None))
