"""Check a payment and a receipt against each other, from their bytes."""

from collections.abc import Iterable

from zerostate.errors import EnvelopeError, EvidenceError
from zerostate.evidence.channel import ChannelStateEvidence, verify_cosigned
from zerostate.evidence.receipt import Receipt, open_receipt, receipt_sha256
from zerostate.ids import PeerId
from zerostate.payment.model import Payment, PaymentVerdict
from zerostate.units import Minor


def open_evidence(
    payment: Payment, receipt: bytes
) -> tuple[Receipt | None, ChannelStateEvidence | None, tuple[str, ...]]:
    """Verify all signatures: the receipt's one, and the state's with its bindings.

    Returns:
        What was verified (None: it was not), and what was wrong.
    """
    problems = []
    opened = None
    evidence = None
    try:
        opened = open_receipt(receipt)
    except (EnvelopeError, EvidenceError) as exc:
        problems.append(f"receipt: {exc}")
    try:
        evidence = verify_cosigned(payment.state)
    except EvidenceError as exc:
        problems.append(f"state: {exc}")
    return opened, evidence, tuple(problems)


def judge(
    payment: Payment,
    receipt_bytes: bytes,
    opened: tuple[Receipt | None, ChannelStateEvidence | None, tuple[str, ...]],
    *,
    payer: PeerId,
    max_total: Minor,
    price: Minor | None = None,
) -> PaymentVerdict:
    """Return whether receipt and payment are what `payer` asked for and owes.

    Args:
        payment: What is claimed to be paid.
        receipt_bytes: The sealed receipt.
        opened: What `open_evidence` made of both.
        payer: Who asked for the task and pays.
        max_total: The most that the task's terms allow.
        price: What they make of the receipt; None leaves that unchecked.
    """
    receipt, evidence, unsigned = opened
    receipt_problems = (
        _receipt_problems(receipt, payment, payer, max_total, price) if receipt else ()
    )
    payment_problems = (
        _payment_problems(evidence, payment, receipt_bytes, payer, receipt)
        if evidence
        else ()
    )
    return PaymentVerdict(
        receipt_verified=receipt is not None and not receipt_problems,
        payment_verified=evidence is not None and not payment_problems,
        problems=unsigned + receipt_problems + payment_problems,
    )


def _receipt_problems(
    receipt: Receipt,
    payment: Payment,
    payer: PeerId,
    max_total: Minor,
    price: Minor | None,
) -> tuple[str, ...]:
    checks = (
        ("receipt.task_id", receipt.task_id, payment.task_id),
        ("receipt.requester", receipt.requester, payer),
        ("receipt.price", receipt.price, payment.amount),
    )
    problems = _differences(checks)
    if receipt.price > max_total:
        problems += (f"receipt.price: {receipt.price} is above the agreed {max_total}",)
    if price is not None and receipt.price != price:
        problems += (f"receipt.price: {receipt.price}; the terms make it {price}",)
    return problems


def _payment_problems(
    evidence: ChannelStateEvidence,
    payment: Payment,
    receipt_bytes: bytes,
    payer: PeerId,
    receipt: Receipt | None,
) -> tuple[str, ...]:
    update = evidence.for_task(payment.task_id).update
    checks = [
        ("state.channel_id", evidence.channel_id, payment.channel_id),
        ("state.nonce", update.nonce, payment.nonce),
        ("state.amount", update.amount, payment.amount),
        ("state.task_id", update.task_id, payment.task_id),
        ("state.receipt", update.receipt_sha256, receipt_sha256(receipt_bytes)),
        ("state.payer", evidence.terms.payer, payer),
    ]
    if receipt is not None:
        checks.append(("state.payee", evidence.terms.payee, receipt.executor))
    return _differences(checks)


def _differences(
    checks: Iterable[tuple[str, object, object]],
) -> tuple[str, ...]:
    return tuple(
        f"{name}: {is_value}; expected {should}"
        for name, is_value, should in checks
        if is_value != should
    )
