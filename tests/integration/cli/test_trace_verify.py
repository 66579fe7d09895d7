"""`zerostate trace verify` on a real task's trace, and on what became of it in a store."""

import json
from dataclasses import replace

import httpx
import pytest

from stack_process import StackProcess
from task_world import IDENTITIES
from zerostate.cli.main import main
from zerostate.evidence.binding import make_binding
from zerostate.evidence.channel import (
    encode_state,
    with_payee,
)
from zerostate.evidence.ethereum import EthKey
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import receipt_sha256, seal_receipt
from zerostate.ids import new_task_id
from zerostate.semconv import attributes as attr
from zerostate.units import Minor

RECEIPT, STATE = attr.EVENT_RECEIPT_ISSUED, attr.EVENT_PAYMENT_STATE
EXECUTOR = IDENTITIES["executor"]


def verdict(story, *more):
    return story.verify(*more).found.verdict


def rows(found):
    return {row.name: row for row in found.rows}


def resigned(story, **changed):
    """Return the receipt with other contents, signed by the same executor."""
    return seal_receipt(EXECUTOR, replace(story.receipt, **changed))


def test_a_trace_as_it_was_recorded_is_verified(story):
    found = story.verify().found

    assert (found.verdict, found.reasons) == ("verified", ())
    assert found.receipt.receipt == story.receipt
    assert found.payment.update == story.state.update
    by_name = rows(found)
    price = str(story.receipt.price)
    assert by_name["price"].claimed == (price,)
    assert (by_name["price"].signed, by_name["price"].paid) == (price, price)
    assert {name for name, row in by_name.items() if row.verdict != "agrees"} == {
        # The receipt has their hashes, not their sizes.
        "input_bytes",
        "output_bytes",
    }
    assert {
        "task_id",
        "trace_id",
        "guild_id",
        "requester",
        "executor",
        "outcome",
        "fuel_used",
        "memory_peak_bytes",
        "wall_time_ns",
        "run_unix_ns",
        "receipt_sha256",
        "channel_id",
        "nonce",
    } <= by_name.keys()


def test_a_failed_task_is_verified_by_its_receipt_alone(failed_story):
    found = failed_story.verify().found

    assert (found.verdict, found.reasons) == ("verified", ())
    assert rows(found)["trap"].signed == "unreachable"
    assert "channel_id" not in rows(found)


@pytest.mark.parametrize(
    ("span", "claim", "row"),
    [
        ("execution.resources.measure", {"wasm__fuel__used": 1}, "fuel_used"),
        ("execution.resources.measure", {"wasm__memory__peak": 1}, "memory_peak_bytes"),
        ("execution.resources.measure", {"task__wall_time_ns": 1}, "wall_time_ns"),
        ("payment.transaction", {"payment__amount": 1}, "price"),
        ("payment.transaction", {"channel__id": "0x" + "1" * 64}, "channel_id"),
        ("execution.task", {"task__id": "task-" + "1" * 32}, "task_id"),
        ("execution.task", {"guild__id": "guild-" + "1" * 32}, "guild_id"),
        ("execution.task", {"task__outcome": "trap"}, "outcome"),
        ("execution.task", {"task__output__sha256": "1" * 64}, "output_sha256"),
        ("execution.receipt.generate", {"receipt__sha256": "1" * 64}, "receipt_sha256"),
        ("task.result", {"peer__id": "12D3KooWSomebody"}, "executor"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value.values())),
)
def test_an_altered_claim_differs(story, span, claim, row):
    found = story.claiming(span, **claim).verify().found

    assert found.verdict == "differs"
    assert rows(found)[row].verdict == "differs"
    (value,) = claim.values()
    assert any(row in reason and str(value) in reason for reason in found.reasons)


def refusing(story, key, *, is_payer, is_failed):
    """Return the story with one party's check saying that it found something wrong."""

    def change(span):
        said = dict(span.attributes)
        # The payer looks at the receipt, too.
        if span.name != "payment.verify" or (attr.RECEIPT_VERIFIED in said) != is_payer:
            return span
        status = replace(span.status, code=2) if is_failed else span.status
        claimed = tuple((said | {key: False}).items())
        return replace(span, attributes=claimed, status=status)

    return story.map(change)


@pytest.mark.parametrize("is_failed", [True, False])
@pytest.mark.parametrize("key", [attr.PAYMENT_VERIFIED, attr.RECEIPT_VERIFIED])
def test_a_payer_that_found_wrong_what_is_right_differs(story, key, is_failed):
    name = key.replace(".", "_")
    assert rows(story.verify().found)[name].claimed == ("true",)

    found = refusing(story, key, is_payer=True, is_failed=is_failed).verify().found

    assert found.verdict == "differs"
    (reason,) = found.reasons
    assert reason.startswith(f"{name}: spans claim")
    assert "false" in reason


@pytest.mark.parametrize("is_failed", [True, False])
def test_a_payee_may_refuse_a_payment_that_it_takes_later(story, is_failed):
    refused = refusing(
        story, attr.PAYMENT_VERIFIED, is_payer=False, is_failed=is_failed
    )

    assert verdict(refused) == ("verified" if is_failed else "differs")


def test_what_is_verified_by_claim_alone_is_not_signed(story):
    found = story.without_events(RECEIPT, STATE).verify().found

    for name in ("payment_verified", "receipt_verified"):
        row = rows(found)[name]
        assert (row.claimed, row.verdict) == (("true",), "not signed")


@pytest.mark.parametrize("span", ["payment.transaction", "payment.channel.update"])
def test_an_altered_nonce_differs_from_the_state_beside_it(story, span):
    found = story.claiming(span, payment__nonce=7).verify().found

    assert found.verdict == "differs"
    assert any("nonce" in reason and "7" in reason for reason in found.reasons)


def test_a_span_that_says_the_task_ran_at_another_time_differs(story):
    def later(span):
        if span.name != "execution.task":
            return span
        shift_ns = 3600 * 10**9
        return replace(
            span, start_ns=span.start_ns + shift_ns, end_ns=span.end_ns + shift_ns
        )

    found = story.map(later).verify().found

    assert found.verdict == "differs"
    assert rows(found)["run_unix_ns"].verdict == "differs"


def test_missing_spans_are_not_held_against_the_evidence(story):
    """Sampling and dead processes take spans; what was signed is signed."""
    kept = story.map(
        lambda span: (
            span if any(e.name in {RECEIPT, STATE} for e in span.events) else None
        )
    )

    found = kept.verify().found

    assert found.verdict == "verified"
    assert rows(found)["fuel_used"].verdict == "not claimed"


def test_a_trace_without_a_receipt_has_no_evidence(story):
    found = story.without_events(RECEIPT, STATE).verify().found

    assert found.verdict == "no evidence"
    by_name = rows(found)
    assert by_name["fuel_used"].claimed
    assert {row.verdict for row in found.rows} == {"not signed"}


def test_a_payment_alone_does_not_prove_the_task(story):
    found = story.without_events(RECEIPT).verify().found

    assert found.verdict == "no evidence"
    assert found.payment is not None


def test_a_receipt_alone_does_not_prove_the_payment(story):
    found = story.without_events(STATE).verify().found

    assert found.verdict == "unpaid"
    assert rows(found)["nonce"].verdict == "not signed"


def test_a_receipt_of_another_trace_differs(story):
    data = resigned(story, trace_id="ab" * 16)
    update = replace(story.state.update, receipt_sha256=receipt_sha256(data))

    found = (
        story.with_evidence(RECEIPT, data)
        .with_evidence(STATE, story.signed(update))
        .claiming("execution.receipt.generate", receipt__sha256=receipt_sha256(data))
        .verify()
        .found
    )

    assert found.verdict == "differs"
    assert [row.name for row in found.rows if row.verdict == "differs"] == ["trace_id"]


def test_two_receipts_of_one_task_conflict(story):
    found = story.and_evidence(RECEIPT, resigned(story, price=Minor(1))).verify().found

    assert found.verdict == "conflicting"
    assert "2 different receipts" in found.reasons[0]


def test_a_receipt_of_another_task_beside_the_right_one_differs(story):
    other = resigned(story, task_id=new_task_id())

    assert verdict(story.and_evidence(RECEIPT, other)) == "differs"


def test_a_receipt_that_another_peer_signed_is_forged(story):
    stranger = Identity.generate()
    sealed = seal_receipt(stranger, replace(story.receipt, executor=stranger.peer_id))
    # The stranger's own receipt is well signed, but nobody in this trace is paid for it.
    assert verdict(story.with_evidence(RECEIPT, sealed)) == "differs"

    broken = bytearray(story.sealed_receipt)
    broken[broken.index(story.receipt.task_id.encode()) + 8] ^= 1
    found = story.with_evidence(RECEIPT, bytes(broken)).verify().found
    assert found.verdict == "forged"
    assert "signature" in found.reasons[0]


@pytest.mark.parametrize("role", ["requester", "executor"])
def test_a_state_that_another_key_signed_is_forged(story, role):
    signed = story.signed(story.state.update, **{role: EthKey.generate()})

    found = story.with_evidence(STATE, signed).verify().found

    assert found.verdict == "forged"
    assert "did not sign this state" in found.reasons[0]


def test_a_state_with_one_signature_only_is_forged(story):
    signed = encode_state(replace(story.state, payee_signature=b""))

    assert verdict(story.with_evidence(STATE, signed)) == "forged"


def test_a_payment_for_another_task_differs(story):
    update = replace(story.state.update, task_id=new_task_id())

    found = story.with_evidence(STATE, story.signed(update)).verify().found

    assert found.verdict == "differs"
    assert any("pays for another task" in reason for reason in found.reasons)


def test_a_payment_for_another_receipt_differs(story):
    update = replace(story.state.update, receipt_sha256="1" * 64)

    found = story.with_evidence(STATE, story.signed(update)).verify().found

    assert found.verdict == "differs"
    assert rows(found)["receipt_sha256"].paid == "1" * 64


def test_a_payment_of_less_than_the_price_differs(story):
    update = replace(story.state.update, net=Minor(1), amount=Minor(1))

    found = story.with_evidence(STATE, story.signed(update)).verify().found

    assert found.verdict == "differs"
    assert rows(found)["price"].paid == "1"


def test_a_payment_to_another_peer_differs(story):
    thief, key = Identity.generate(), EthKey.generate()
    terms = replace(story.terms, payee=thief.peer_id, payee_address=None)
    terms = with_payee(terms, make_binding(thief, key))
    signed = story.signed(story.state.update, terms, executor=key)

    found = story.with_evidence(STATE, signed).verify().found

    assert found.verdict == "differs"
    assert rows(found)["executor"].paid == thief.peer_id


@pytest.fixture(scope="module")
def stack(story, tmp_path_factory):
    """A real stack that has received the story."""
    with StackProcess(tmp_path_factory.mktemp("stack")) as stack:
        httpx.post(
            f"{stack.ready['otlp_http']}/v1/traces",
            content=story.payload(),
            headers={"Content-Type": "application/x-protobuf"},
        ).raise_for_status()
        yield stack


def test_the_command_prints_a_table_and_ends_with_0(story, stack, capsys):
    code = main(["trace", "verify", story.trace_id, "--url", stack.ready["ui"]])

    told = capsys.readouterr()
    assert (code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0] == f"Trace {story.trace_id}"
    price = str(story.receipt.price)
    assert [line.split() for line in lines if line.startswith("  price ")] == [
        ["price", price, price, price, "agrees"]
    ]
    assert lines[-1] == "The trace is verified: signed as claimed, and paid as signed."


def test_the_command_gives_all_of_it_as_json(story, stack, capsys):
    arguments = [
        "trace",
        "verify",
        story.trace_id,
        "--url",
        stack.ready["ui"],
        "--json",
    ]

    assert main(arguments) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["trace_id"], told["verdict"]) == (story.trace_id, "verified")
    assert told["receipt"]["task_id"] == story.receipt.task_id
    assert told["payment"]["channel_id"] == story.terms.channel_id
    assert told["payment"]["amount"] == story.receipt.price


def test_a_trace_that_is_not_there_is_told_as_json_too(stack, capsys):
    arguments = ["trace", "verify", "abc", "--url", stack.ready["ui"], "--json"]

    assert main(arguments) == 2

    assert json.loads(capsys.readouterr().out)["error"]["code"] == "trace_not_found"


def test_a_chain_is_not_asked_about_a_promise(story, stack, capsys):
    ui = stack.ready["ui"]
    arguments = ["trace", "verify", story.trace_id, "--url", ui, "--chain", "http://x"]

    assert main(arguments) == 2

    assert "promise without a contract" in capsys.readouterr().err
