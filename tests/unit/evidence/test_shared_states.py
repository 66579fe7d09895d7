"""A channel state that pays for several tasks; eth_account is the oracle."""

import hashlib
import importlib
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zerostate.errors import EvidenceError
from zerostate.evidence import channel_pb2 as pb
from zerostate.evidence.binding import (
    BINDING_DOMAIN,
    BINDING_TYPE,
    MAX_BINDING_BYTES,
    make_binding,
)
from zerostate.evidence.channel import (
    MAX_STATE_BYTES,
    ChannelTerms,
    SignedState,
    decode_state,
    encode_state,
    encode_terms,
    state_digest,
    verify_cosigned,
    with_payee,
)
from zerostate.evidence.channel_update import (
    MAX_AMOUNT,
    MAX_SHARED,
    ChannelUpdate,
    TaskPayment,
    check_update,
    payment_hash,
)
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.evidence.identity import Identity
from zerostate.ids import TaskId, parse_task_id
from zerostate.units import Minor

PAYER, PAYEE = Identity(b"\x01" * 32), Identity(b"\x02" * 32)
PAYER_KEY, PAYEE_KEY = EthKey(b"\x01" * 32), EthKey(b"\x02" * 32)
PAYER_BINDING = make_binding(PAYER, PAYER_KEY)
PAYEE_BINDING = make_binding(PAYEE, PAYEE_KEY)


def task(number):
    return TaskId(f"task-{number:032x}")


def paying(*amounts, first=0):
    """Return the payments of so many tasks."""
    return tuple(
        TaskPayment(task(number), f"{number:064x}", Minor(amount))
        for number, amount in enumerate(amounts, first)
    )


def update_of(payments, *, nonce=3, before=0):
    first, *others = payments
    return ChannelUpdate(
        nonce,
        Minor(before + sum(one.amount for one in payments)),
        first.task_id,
        first.receipt_sha256,
        first.amount,
        tuple(others),
    )


def make_terms(
    chain_id=31337,
    deposit=MAX_AMOUNT,
    payer_binding=PAYER_BINDING,
    payee_binding=PAYEE_BINDING,
):
    terms = ChannelTerms(
        chain_id=chain_id,
        contract=EthAddress("0x" + "ff" * 20),
        payer=PAYER.peer_id,
        payer_address=PAYER_KEY.address,
        payer_binding=payer_binding,
        payee=PAYEE.peer_id,
        deposit=Minor(deposit),
        salt=b"\xff" * 32,
    )
    return with_payee(terms, payee_binding)


TERMS = make_terms()


def cosigned(update, terms=TERMS):
    digest = state_digest(terms, update)
    return encode_state(
        SignedState(
            encode_terms(terms),
            update,
            PAYER_KEY.sign(digest).signature,
            PAYEE_KEY.sign(digest).signature,
        )
    )


@st.composite
def updates(draw, least=1):
    """Return any state that may be, of one task or of several."""
    ids = draw(
        st.lists(
            st.integers(0, 2**128 - 1),
            min_size=least,
            max_size=MAX_SHARED,
            unique=True,
        )
    )
    payments = [
        TaskPayment(
            task(number),
            draw(st.binary(min_size=32, max_size=32)).hex(),
            Minor(draw(st.integers(1, MAX_AMOUNT // MAX_SHARED))),
        )
        for number in ids
    ]
    nonce = draw(st.integers(1, MAX_AMOUNT))
    before = draw(st.integers(0, MAX_AMOUNT - sum(one.amount for one in payments)))
    return update_of(payments, nonce=nonce, before=before)


@settings(max_examples=60, deadline=None)
@given(updates())
def test_what_both_signed_for_several_tasks_is_read_as_it_was_written(update):
    data = cosigned(update)

    evidence = verify_cosigned(data)

    assert evidence.update == update
    assert encode_state(decode_state(data)) == data
    assert update.total == sum(one.amount for one in update.payments)


@settings(max_examples=40, deadline=None)
@given(updates())
def test_of_each_task_a_state_proves_what_it_pays_for_that_one(update):
    evidence = verify_cosigned(cosigned(update))

    for one in update.payments:
        part = evidence.for_task(one.task_id)
        assert part.update == ChannelUpdate(
            update.nonce, update.net, one.task_id, one.receipt_sha256, one.amount
        )
        assert (part.channel_id, part.terms) == (evidence.channel_id, evidence.terms)
        assert part.balance_payee == evidence.balance_payee


def test_a_state_is_itself_for_a_task_that_it_does_not_pay_for():
    evidence = verify_cosigned(cosigned(update_of(paying(5, 6))))

    assert evidence.for_task(task(9)) is evidence
    assert evidence.update.payment_of(task(9)) is None


def test_a_state_for_one_task_has_the_bytes_that_it_always_had():
    update = update_of(paying(5))

    data = cosigned(update)

    assert pb.SignedState.FromString(data) == pb.SignedState(
        terms=encode_terms(TERMS),
        nonce=3,
        net=5,
        task_id=task(0),
        receipt_sha256=bytes(32),
        amount=5,
        payer_signature=decode_state(data).payer_signature,
        payee_signature=decode_state(data).payee_signature,
    )
    assert b"tasks" not in data


def typed_data(terms, update, payment):
    def fields(**kinds):
        return [{"name": name, "type": kind} for name, kind in kinds.items()]

    return {
        "types": {
            "EIP712Domain": fields(
                name="string",
                version="string",
                chainId="uint256",
                verifyingContract="address",
            ),
            "ChannelState": fields(
                channelId="bytes32", nonce="uint64", net="int256", payment="Payment"
            ),
            "Payment": fields(taskId="string", receiptHash="bytes32", amount="uint256"),
        },
        "primaryType": "ChannelState",
        "domain": {
            "name": "ZeroState Channel",
            "version": "1",
            "chainId": terms.chain_id,
            "verifyingContract": terms.contract,
        },
        "message": {
            "channelId": bytes.fromhex(terms.channel_id[2:]),
            "nonce": update.nonce,
            "net": update.net,
            "payment": payment,
        },
    }


@pytest.fixture(scope="module", autouse=True)
def _oracle():
    # Importing eth_account raises the interpreter's recursion limit to 100,000.
    limit = sys.getrecursionlimit()
    importlib.import_module("eth_account")
    sys.setrecursionlimit(limit)


@settings(max_examples=25, deadline=None)
@given(updates(least=2))
def test_a_wallet_signs_how_many_tasks_the_sum_and_one_hash_of_all(update):
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    listed = b"".join(
        b"\x00\x25"
        + one.task_id.encode("ascii")
        + bytes.fromhex(one.receipt_sha256)
        + one.amount.to_bytes(8, "big")
        for one in update.payments
    )
    payment = {
        "taskId": f"{len(update.payments)} tasks",
        "receiptHash": hashlib.sha256(listed).digest(),
        "amount": sum(one.amount for one in update.payments),
    }
    message = encode_typed_data(full_message=typed_data(TERMS, update, payment))

    signed = Account.sign_message(message, PAYER_KEY.secret)

    assert decode_state(cosigned(update)).payer_signature == bytes(signed.signature)


def test_what_is_signed_for_several_tasks_names_no_task():
    with pytest.raises(ValueError, match="not a task id"):
        parse_task_id("3 tasks")


def test_every_part_of_every_payment_is_under_the_signature():
    parts = paying(5, 6, 7)
    update = update_of(parts)
    changed = [
        update,
        update_of((parts[0], parts[2], parts[1])),
        update_of((parts[1], parts[0], parts[2])),
        update_of(parts[:2], before=7),
        update_of((*parts, *paying(1, first=3))),
    ]
    for at, part in enumerate(parts):
        for change in (
            {"task_id": task(9)},
            {"receipt_sha256": "9" * 64},
            {"amount": Minor(part.amount + 1)},
        ):
            others = list(parts)
            others[at] = replace(part, **change)
            changed.append(replace(update_of(others), net=update.net))

    # From one task to another the sum stays the same.
    moved = (replace(parts[0], amount=Minor(6)), replace(parts[1], amount=Minor(5)))
    changed.append(update_of((*moved, parts[2])))

    assert len({payment_hash(one) for one in changed}) == len(changed) == 15


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_flipped_bit_passes_as_another_shared_state(data):
    update = update_of(paying(5, 6, 7))
    good = bytearray(cosigned(update))
    at = data.draw(st.integers(min_value=0, max_value=len(good) * 8 - 1))
    good[at // 8] ^= 1 << at % 8
    try:
        evidence = verify_cosigned(bytes(good))
    except EvidenceError:
        return
    assert (evidence.update, evidence.terms.deposit) == (update, MAX_AMOUNT)


def changed_other(**changes):
    one, two, three = paying(5, 6, 7)
    return replace(update_of((one, replace(two, **changes), three)), net=Minor(100))


REFUSED = {
    "17 tasks": (update_of(paying(*[1] * (MAX_SHARED + 1))), "17 tasks; at most 16"),
    "a task twice": (changed_other(task_id=task(2)), "twice for one task"),
    "the first task again": (changed_other(task_id=task(0)), "twice for one task"),
    "nothing for another": (changed_other(amount=Minor(0)), "pays an amount"),
    "nothing for the first": (
        replace(update_of(paying(5, 6)), amount=Minor(0)),
        "pays an amount",
    ),
    "a number too large": (changed_other(amount=Minor(MAX_AMOUNT + 1)), "above 2"),
    "a sum too large": (
        replace(update_of(paying(*[MAX_AMOUNT // 2] * 3)), net=Minor(MAX_AMOUNT)),
        "above 2",
    ),
    "more than in all": (
        replace(update_of(paying(5, 6)), net=Minor(10)),
        "pays an amount",
    ),
    "no first task": (
        replace(
            update_of(paying(5, 6)), task_id=None, receipt_sha256="", amount=Minor(0)
        ),
        "pays an amount",
    ),
    "in state 0": (
        ChannelUpdate(0, Minor(0), others=paying(5)),
        "state 0 opens",
    ),
    "half a receipt": (changed_other(receipt_sha256="5e" * 16), "names no receipt"),
    "no receipt": (changed_other(receipt_sha256=""), "names no receipt"),
}


@pytest.mark.parametrize(("update", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_no_state_can_say_is_refused_whoever_signed_it(update, reason):
    with pytest.raises(EvidenceError, match=reason):
        check_update(update)

    encoded = encode_state(SignedState(encode_terms(TERMS), update, b"", b""))
    with pytest.raises(EvidenceError, match=reason):
        decode_state(encoded)


def test_another_task_needs_a_tasks_id():
    named = pb.SignedState.FromString(cosigned(update_of(paying(5, 6, 7))))
    for name in ("", "3 tasks", "task-5"):
        named.others[0].task_id = name
        with pytest.raises(EvidenceError, match="not a task id"):
            decode_state(named.SerializeToString())


def test_sixteen_tasks_are_as_many_as_a_state_pays_for():
    update = update_of(paying(*[1] * MAX_SHARED))

    check_update(update)

    assert MAX_SHARED == 16


def padded(identity, key):
    """Return a binding as long as one may be: with a field that nobody reads."""
    own = make_binding(identity, key)
    payload = unseal(own, domain=BINDING_DOMAIN, payload_type=BINDING_TYPE).payload
    for size in range(127, MAX_BINDING_BYTES):
        unread = b"\x7a" + (size & 0x7F | 0x80).to_bytes(1) + (size >> 7).to_bytes(1)
        made = seal(
            identity,
            domain=BINDING_DOMAIN,
            payload_type=BINDING_TYPE,
            payload=payload + unread + bytes(size),
        )
        if len(made) == MAX_BINDING_BYTES:
            return made
    raise AssertionError("no size gives the longest binding")


def test_the_largest_state_has_room_in_an_event():
    each = MAX_AMOUNT // MAX_SHARED
    terms = make_terms(
        2**64 - 1, MAX_AMOUNT, padded(PAYER, PAYER_KEY), padded(PAYEE, PAYEE_KEY)
    )
    largest = update_of(
        paying(*[each] * MAX_SHARED), nonce=MAX_AMOUNT, before=MAX_AMOUNT % MAX_SHARED
    )
    one = replace(largest, others=())

    data = cosigned(largest, terms)

    assert verify_cosigned(data).update == largest
    assert len(data) < MAX_STATE_BYTES
    # What the bound's reason says that each more takes.
    assert len(data) - len(cosigned(one, terms)) <= 85 * (MAX_SHARED - 1)
