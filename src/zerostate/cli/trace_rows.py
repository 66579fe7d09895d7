"""One row for each number of a task: who says what about it. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from zerostate.cli.settlement import Settlement, is_at_least
from zerostate.cli.trace_claims import Claims, PaidClaim
from zerostate.cli.trace_evidence import ProvenReceipt
from zerostate.evidence.channel import ChannelStateEvidence
from zerostate.evidence.receipt import Receipt
from zerostate.units import NS_PER_S, Minor

RowVerdict = Literal["agrees", "differs", "not claimed", "not signed"]
"""Of one number: everybody who says it says the same; not so; no span says it; only
spans say it."""

CLOCK_TOLERANCE_NS: Final = NS_PER_S
"""How far a receipt's times may lie outside of the span that it was issued in, in
nanoseconds. Both are of one clock, which may have been set in between."""

_OF_RECEIPT: Final = (
    "outcome",
    "exit_code",
    "fuel_used",
    "memory_peak_bytes",
    "cpu_time_ns",
    "wall_time_ns",
    "output_sha256",
    "module_sha256",
    "manifest_sha256",
    "engine_version",
)
"""Fields of a receipt that no payment tells."""


@dataclass(frozen=True, slots=True)
class Row:
    """One number and who says what about it; None: says nothing."""

    name: str
    claimed: tuple[str, ...] = ()
    """By the spans; each different value."""

    signed: str | None = None
    """By the executor, in the receipt."""

    paid: str | None = None
    """By payer and payee, in the channel state."""

    settled: str | None = None
    """By the chain; None unless it was asked."""

    verdict: RowVerdict = "not signed"

    def difference(self) -> str:
        """Return who says what, in words."""
        said = [f"spans claim {', '.join(self.claimed)}"] if self.claimed else []
        said += [f"the receipt signs {self.signed}"] if self.signed else []
        said += [f"the channel says {self.paid}"] if self.paid else []
        said += [f"the chain says {self.settled}"] if self.settled else []
        return f"{self.name}: {'; '.join(said)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What claims are held against."""

    receipt: ProvenReceipt | None
    payment: ChannelStateEvidence | None
    """The state that pays for the receipt."""

    settlement: Settlement | None
    interim_nonces: frozenset[str]
    """Of signed states that paid while the task ran. What spans claim of those is no
    claim about the price."""


def rows_of(trace_id: str, claims: Claims, proven: Proven) -> Iterator[Row]:
    """Yield a row for each number that anybody says anything about."""
    receipt = proven.receipt.receipt if proven.receipt else None
    payment = proven.payment
    update = payment.update if payment else None
    terms = payment.terms if payment else None
    paid: dict[str, object] = {
        "task_id": update and update.task_id,
        "requester": terms and terms.payer,
        "executor": terms and terms.payee,
        "receipt_sha256": update and update.receipt_sha256,
    }
    yield row("trace_id", (trace_id,), receipt and receipt.trace_id)
    for name in ("task_id", "guild_id", "requester", "executor", *_OF_RECEIPT):
        signed = None if receipt is None else getattr(receipt, name)
        yield row(name, claims.of(name), signed, paid.get(name))
    if claims.of("trap") or (receipt and receipt.trap):
        yield row("trap", claims.of("trap"), receipt and receipt.trap)
    for name in ("input_bytes", "output_bytes"):
        if claims.of(name):
            yield row(name, claims.of(name))
    yield _time_row(claims, receipt)
    name = "receipt_sha256"
    sha256 = proven.receipt and proven.receipt.sha256
    yield row(name, claims.of(name), sha256, paid[name])
    yield from _verified_rows(claims, proven)
    price = receipt.price if receipt else None
    last = _last_claims(claims, proven)
    yield from _payment_rows(claims.of("channel_id"), last, price, payment)
    settlement = proven.settlement
    if settlement is not None and (settlement.trace_ids or settlement.answer):
        yield from _settlement_rows(settlement, payment)


def row(
    name: str,
    claimed: tuple[str, ...],
    signed: object = None,
    paid: object = None,
) -> Row:
    """Return a row of values that must all be the same; None says nothing."""
    proofs = [str(value) for value in (signed, paid) if value is not None]
    verdict: RowVerdict = "agrees"
    if len({*claimed, *proofs}) > 1:
        verdict = "differs"
    elif not proofs:
        verdict = "not signed"
    elif not claimed:
        verdict = "not claimed"
    return Row(name, claimed, _text(signed), _text(paid), None, verdict)


def distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    """Return each value once, in order."""
    return tuple(dict.fromkeys(value for value in values if value is not None))


def _payment_rows(
    channel_ids: tuple[str, ...],
    last: list[PaidClaim],
    price: Minor | None,
    payment: ChannelStateEvidence | None,
) -> Iterator[Row]:
    if not (price or payment or channel_ids or last):
        return
    update = payment.update if payment else None
    amounts = distinct(one.amount for one in last)
    yield row("price", amounts, price, update and update.amount)
    yield row("channel_id", channel_ids, None, payment and payment.channel_id)
    nonces = distinct(one.nonce for one in last)
    yield row("nonce", nonces, None, update and update.nonce)


def _verified_rows(claims: Claims, proven: Proven) -> Iterator[Row]:
    """Yield what spans say they have found right, against what is."""
    for name, signed, paid in (
        ("receipt_verified", proven.receipt, None),
        ("payment_verified", None, proven.payment),
    ):
        if claims.of(name):
            found = ("true" if proof else None for proof in (signed, paid))
            yield row(name, claims.of(name), *found)


def _settlement_rows(
    settlement: Settlement, payment: ChannelStateEvidence | None
) -> Iterator[Row]:
    """Yield rows of the channel's end, which may be by a newer state than the task's."""
    nonce = payment.update.nonce if payment else None
    answer = settlement.answer
    if answer is None or not settlement.is_settled:
        if settlement.nonces:
            yield _at_least("settled_nonce", settlement.nonces, nonce, None)
        yield from _transaction_rows(settlement, None, None)
        return
    net = payment.update.net if payment else None
    yield _at_least("settled_nonce", settlement.nonces, nonce, answer.nonce)
    yield _at_least("settled_net", (), net, answer.net)
    tx_hash = answer.settling_tx
    if tx_hash is None and answer.has_transaction:
        (tx_hash,) = settlement.tx_hashes
    yield from _transaction_rows(settlement, tx_hash, answer.block_number)


def _transaction_rows(
    settlement: Settlement, tx_hash: str | None, block_number: int | None
) -> Iterator[Row]:
    for name, claimed, settled in (
        ("settlement_tx", settlement.tx_hashes, tx_hash),
        ("settlement_block", settlement.block_numbers, block_number),
    ):
        if claimed or settled is not None:
            verdict = row(name, claimed, settled).verdict
            yield Row(name, claimed, settled=_text(settled), verdict=verdict)


def _at_least(
    name: str, claimed: tuple[str, ...], paid: int | None, settled: int | None
) -> Row:
    later = [*claimed] if settled is None else [*claimed, str(settled)]
    verdict: RowVerdict = "not signed" if settled is None else "agrees"
    if paid is not None and not all(is_at_least(one, paid) for one in later):
        verdict = "differs"
    return Row(name, claimed, None, _text(paid), _text(settled), verdict)


def _last_claims(claims: Claims, proven: Proven) -> list[PaidClaim]:
    """Return what is claimed of the task's last payment."""
    if proven.payment is None:
        interim = proven.interim_nonces
        return [one for one in claims.payments if one.nonce not in interim]
    nonce = str(proven.payment.update.nonce)
    return [one for one in claims.payments if one.nonce == nonce]


def _time_row(claims: Claims, receipt: Receipt | None) -> Row:
    """Return when the task ran: the receipt's times lie within the span's."""
    spans = claims.executions
    claimed = distinct(
        f"{one.start_ns}..{one.start_ns + one.duration_ns}" for one in spans
    )
    if receipt is None:
        return Row("run_unix_ns", claimed)
    started, ended = receipt.started_unix_ns, receipt.ended_unix_ns
    verdict: RowVerdict = "agrees" if spans else "not claimed"
    for one in spans:
        earliest = one.start_ns - CLOCK_TOLERANCE_NS
        latest = one.start_ns + one.duration_ns + CLOCK_TOLERANCE_NS
        if not earliest <= started <= ended <= latest:
            verdict = "differs"
    return Row("run_unix_ns", claimed, f"{started}..{ended}", verdict=verdict)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
