"""Holds what spans claim against what was signed and paid. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from zerostate.cli.settlement import Settlement, contradictions
from zerostate.cli.trace_claims import Claims
from zerostate.cli.trace_evidence import Evidence, ProvenReceipt
from zerostate.cli.trace_rows import Proven, Row, distinct, rows_of
from zerostate.evidence.channel import ChannelStateEvidence
from zerostate.ids import TaskId

Verdict = Literal[
    "verified", "unpaid", "no evidence", "differs", "conflicting", "forged"
]
"""What can be said of a trace:

* verified: a receipt proves the task, a state that both parties signed pays its price
  (or it costs nothing), and no span says anything else;
* unpaid: the same, but for the payment, of which there is no proof, or not of all;
* no evidence: no receipt;
* differs: something claimed, signed or paid is not what something else says;
* conflicting: two receipts or states, all rightly signed, that cannot both be true;
* forged: something stands as evidence that is none, or is not signed as it says.
"""

MAX_REASONS: Final = 50
"""Reasons told; a task that more speaks against needs no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceVerdict:
    """All that can be said of a trace."""

    trace_id: str
    verdict: Verdict
    reasons: tuple[str, ...]
    """Why it is not verified; empty if it is."""

    rows: tuple[Row, ...]
    receipt: ProvenReceipt | None
    """The task's; None if there is none that is proven."""

    payment: ChannelStateEvidence | None
    """The state that pays for the task; None if there is none that is proven."""

    settlement: Settlement | None
    """What the linked traces, and the chain if it was asked, say of the channel's end."""


def judge(
    trace_id: str,
    claims: Claims,
    evidence: Evidence,
    settlement: Settlement | None = None,
) -> TraceVerdict:
    """Return what `evidence` proves of the trace, and whether `claims` agree."""
    receipt = _receipt_of(trace_id, evidence)
    task_id = _task_of(receipt, claims, evidence)
    payment = _payment_of(task_id, receipt, evidence)
    proven = Proven(
        receipt=receipt,
        payment=payment,
        settlement=settlement,
        interim_nonces=_interim_nonces(task_id, receipt, evidence),
    )
    rows = tuple(rows_of(trace_id, claims, proven))
    differs = [
        *(row.difference() for row in rows if row.verdict == "differs"),
        *_strangers(task_id, receipt, evidence),
        *_wrong_holders(task_id, evidence),
        *_wrong_payments(claims, evidence),
        *_wrong_purposes(receipt, evidence),
        *(contradictions(settlement, payment) if settlement else ()),
    ]
    missing = [] if receipt else ["no signed receipt is in the trace"]
    verdict, reasons = _worst(
        {
            "forged": evidence.forged,
            "conflicting": tuple(_conflicts(task_id, evidence)),
            "differs": differs,
            "no evidence": missing,
            "unpaid": tuple(_debts(receipt, payment, evidence)),
        }
    )
    return TraceVerdict(
        trace_id=trace_id,
        verdict=verdict,
        reasons=reasons,
        rows=rows,
        receipt=receipt,
        payment=payment,
        settlement=settlement,
    )


def _worst(
    found: Mapping[Verdict, Sequence[str]],
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the first verdict with a reason, and all reasons of all of them."""
    reasons = tuple(reason for each in found.values() for reason in each)
    for verdict, speaking in found.items():
        if speaking:
            return verdict, reasons[:MAX_REASONS]
    return "verified", ()


def _receipt_of(trace_id: str, evidence: Evidence) -> ProvenReceipt | None:
    """Return the receipt that names this trace, else the first."""
    named = [one for one in evidence.receipts if one.receipt.trace_id == trace_id]
    return next(iter([*named, *evidence.receipts]), None)


def _task_of(
    receipt: ProvenReceipt | None, claims: Claims, evidence: Evidence
) -> TaskId | None:
    paid = [one.update.task_id for one in evidence.states if one.update.task_id]
    signed = [receipt.receipt.task_id] if receipt else []
    claimed = map(TaskId, claims.of("task_id"))
    return next(iter([*signed, *claimed, *paid]), None)


def _payment_of(
    task_id: TaskId | None, receipt: ProvenReceipt | None, evidence: Evidence
) -> ChannelStateEvidence | None:
    """Return the state that pays for the receipt, or claims to; the newest of them."""
    own = _states_of(task_id, evidence)
    if receipt is not None:
        own = [one for one in own if not _is_interim(one, receipt)]
        named = [one for one in own if one.update.receipt_sha256 == receipt.sha256]
        own = named or own
    return max(own, key=lambda one: one.update.nonce, default=None)


def _is_interim(state: ChannelStateEvidence, receipt: ProvenReceipt) -> bool:
    """Whether it pays while the task runs: then it names the manifest instead."""
    return state.update.receipt_sha256 == receipt.receipt.manifest_sha256


def _interim_nonces(
    task_id: TaskId | None, receipt: ProvenReceipt | None, evidence: Evidence
) -> frozenset[str]:
    return frozenset(
        str(one.update.nonce)
        for one in _states_of(task_id, evidence)
        if receipt is not None and _is_interim(one, receipt)
    )


def _states_of(
    task_id: TaskId | None, evidence: Evidence
) -> list[ChannelStateEvidence]:
    """Return the states that pay for the task, each as far as it does."""
    if task_id is None:
        return []
    return [one.for_task(task_id) for one in evidence.states if _pays_for(task_id, one)]


def _pays_for(task_id: TaskId | None, state: ChannelStateEvidence) -> bool:
    return task_id is not None and state.update.payment_of(task_id) is not None


def _strangers(
    task_id: TaskId | None, receipt: ProvenReceipt | None, evidence: Evidence
) -> Iterator[str]:
    """Yield evidence of other tasks than the trace's."""
    for one in evidence.receipts:
        if one is not receipt and one.receipt.task_id != task_id:
            yield f"a receipt of another task, {one.receipt.task_id}, is in the trace"
    for state in evidence.states:
        update = state.update
        if update.payments and not _pays_for(task_id, state):
            others = f" and {len(update.others)} more" if update.others else ""
            yield (
                f"nonce {update.nonce} on {state.channel_id} pays for another task, "
                f"{update.task_id}{others}"
            )


def _wrong_holders(task_id: TaskId | None, evidence: Evidence) -> Iterator[str]:
    """Yield spans that say something else than the state that they carry.

    Of a state that pays for several tasks, what it says of the trace's task counts.
    """
    for holder in evidence.holders:
        state = holder.state if task_id is None else holder.state.for_task(task_id)
        span, update = holder.span, state.update
        for where, name, said, proven in (
            (span, "channel.id", span.attributes, state.channel_id),
            (span, "task.id", span.attributes, update.task_id),
            (span, "payment.amount", span.attributes, update.amount),
            (span, "payment.nonce", span.attributes, update.nonce),
            (span, "payment.nonce", holder.event.attributes, update.nonce),
        ):
            claimed = said.get(name)
            if claimed is not None and str(claimed) != str(proven):
                yield (
                    f"{name}: {where.name} ({where.span_id}) claims {claimed}; the "
                    f"state that it carries says {proven}"
                )


def _wrong_payments(claims: Claims, evidence: Evidence) -> Iterator[str]:
    """Yield payments that spans claim and no state bears out, if any state is there."""
    proven = {str(one.update.nonce) for one in evidence.states}
    for one in claims.payments:
        if proven and one.nonce is not None and one.nonce not in proven:
            yield (
                f"payment.nonce: {one.span.name} ({one.span.span_id}) claims "
                f"{one.nonce}, and no signed state has it"
            )


def _wrong_purposes(receipt: ProvenReceipt | None, evidence: Evidence) -> Iterator[str]:
    """Yield states that pay for neither the task's receipt nor its manifest."""
    if receipt is None:
        return
    for one in _states_of(receipt.receipt.task_id, evidence):
        update = one.update
        if update.receipt_sha256 != receipt.sha256 and not _is_interim(one, receipt):
            yield (
                f"nonce {update.nonce} on {one.channel_id} pays for another receipt, "
                f"{update.receipt_sha256}"
            )
        elif update.amount > receipt.receipt.price:
            yield (
                f"nonce {update.nonce} on {one.channel_id} pays {update.amount}; the "
                f"receipt's price is {receipt.receipt.price}"
            )


def _conflicts(task_id: TaskId | None, evidence: Evidence) -> Iterator[str]:
    own = [one for one in evidence.receipts if one.receipt.task_id == task_id]
    if len(own) > 1:
        yield f"{len(own)} different receipts of one task, each rightly signed"
    channels: dict[str, list[ChannelStateEvidence]] = {}
    for state in evidence.states:
        channels.setdefault(state.channel_id, []).append(state)
    for channel_id, states in channels.items():
        states.sort(key=lambda one: one.update.nonce)
        for before, after in pairwise(states):
            yield from _conflict(channel_id, before, after)
    paying = distinct(one.channel_id for one in _states_of(task_id, evidence))
    if len(paying) > 1:
        yield f"the task is paid on {len(paying)} channels: {', '.join(paying)}"


def _conflict(
    channel_id: str, before: ChannelStateEvidence, after: ChannelStateEvidence
) -> Iterator[str]:
    """Yield what cannot be true of both, whichever tasks they pay for."""
    older, newer = before.update, after.update
    if older.nonce == newer.nonce:
        # The same state signed anew by both says the same.
        if older != newer:
            yield f"two states with nonce {older.nonce} on {channel_id}, both co-signed"
    elif newer.net < older.net:
        yield (
            f"nonce {newer.nonce} on {channel_id} takes back what nonce "
            f"{older.nonce} had paid"
        )
    elif newer.nonce == older.nonce + 1:
        # Of a task that goes on, each state says what was paid for it so far.
        so_far = {one.task_id: one.amount for one in older.payments}
        paid = newer.total - sum(so_far.get(one.task_id, 0) for one in newer.payments)
        if newer.net - older.net != paid:
            yield (
                f"nonce {newer.nonce} on {channel_id} says that it pays {paid} and "
                f"moves {newer.net - older.net}"
            )


def _debts(
    receipt: ProvenReceipt | None,
    payment: ChannelStateEvidence | None,
    evidence: Evidence,
) -> Iterator[str]:
    if receipt is None or receipt.receipt.price == 0 or payment is not None:
        return
    price = receipt.receipt.price
    so_far = [one.update for one in _states_of(receipt.receipt.task_id, evidence)]
    paid = max((one.amount for one in so_far), default=0)
    yield f"of the price of {price}, signed states pay {paid}"
