"""The committed contract is what the compiler makes of its source."""

import hashlib
from importlib import resources

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from zerostate.evidence.channel import (
    ChannelTerms,
    SignedState,
    state_digest,
)
from zerostate.evidence.channel_update import ChannelUpdate, TaskPayment, payment_hash
from zerostate.evidence.ethereum import EthAddress, EthKey, keccak256
from zerostate.ids import ChannelId, PeerId, TaskId
from zerostate.payment.contract import (
    CosignedState,
    FinalState,
    Withdrawal,
    channel_contract,
    close_digest,
    withdrawal_digest,
)
from zerostate.units import Minor

CONTRACT = EthAddress("0x" + "c0" * 20)
CHANNEL = ChannelId("0x" + "1d" * 32)
DOMAIN = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
]
NONCES = st.integers(0, 2**64 - 1)
NETS = st.integers(-(2**128), 2**128).map(Minor)
TOTALS = st.integers(0, 2**128).map(Minor)


def wallet_message(primary, fields, message, **more_types):
    """Return what a wallet would sign, by eth_account."""
    types = {"EIP712Domain": DOMAIN, primary: fields, **more_types}
    full = {
        "types": {
            kind: [{"name": name, "type": of} for name, of in named]
            for kind, named in types.items()
        },
        "primaryType": primary,
        "domain": {
            "name": "ZeroState Channel",
            "version": "1",
            "chainId": 31337,
            "verifyingContract": CONTRACT,
        },
        "message": message,
    }
    return encode_typed_data(full_message=full)


def wallet_digest(primary, fields, message, **more_types):
    signable = wallet_message(primary, fields, message, **more_types)
    return keccak256(b"\x19\x01" + signable.header + signable.body)


def test_the_committed_contract_is_what_its_source_compiles_to():
    from vyper.compiler import compile_code

    artifact = channel_contract()
    source = resources.files("zerostate.payment.contract").joinpath("Channel.vy")
    text = source.read_text("utf-8")
    output = compile_code(text, output_formats=["abi", "bytecode", "bytecode_runtime"])

    assert artifact.source_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert artifact.compiler == "vyper 0.4.3"
    assert list(artifact.abi) == output["abi"]
    assert artifact.bytecode == bytes.fromhex(output["bytecode"][2:])
    assert artifact.runtime_bytecode == bytes.fromhex(output["bytecode_runtime"][2:])


def test_the_contract_fits_on_any_chain():
    assert len(channel_contract().runtime_bytecode) < 24_576  # EIP-170


@given(NONCES, NETS)
def test_a_final_state_is_signed_as_a_wallet_would(nonce, net):
    digest = close_digest(31337, CONTRACT, CHANNEL, FinalState(nonce, net))

    assert digest == wallet_digest(
        "ChannelClose",
        [("channelId", "bytes32"), ("nonce", "uint64"), ("net", "int256")],
        {"channelId": bytes.fromhex(CHANNEL[2:]), "nonce": nonce, "net": net},
    )


@given(NONCES, NETS, TOTALS, TOTALS)
def test_a_withdrawal_is_signed_as_a_wallet_would(nonce, net, payer, payee):
    withdrawal = Withdrawal(nonce, net, payer, payee)

    assert withdrawal_digest(31337, CONTRACT, CHANNEL, withdrawal) == wallet_digest(
        "ChannelWithdrawal",
        [
            ("channelId", "bytes32"),
            ("nonce", "uint64"),
            ("net", "int256"),
            ("totalPayer", "uint256"),
            ("totalPayee", "uint256"),
        ],
        {
            "channelId": bytes.fromhex(CHANNEL[2:]),
            "nonce": nonce,
            "net": net,
            "totalPayer": payer,
            "totalPayee": payee,
        },
    )


@pytest.mark.parametrize(
    ("update", "task", "receipt", "amount"),
    [
        (ChannelUpdate(0, Minor(0)), "", "00" * 32, 0),
        (
            ChannelUpdate(
                7, Minor(90), TaskId("task-" + "3" * 32), "ab" * 32, amount=Minor(20)
            ),
            "task-" + "3" * 32,
            "ab" * 32,
            20,
        ),
        (
            ChannelUpdate(
                7,
                Minor(90),
                TaskId("task-" + "3" * 32),
                "ab" * 32,
                Minor(20),
                (TaskPayment(TaskId("task-" + "4" * 32), "cd" * 32, Minor(5)),),
            ),
            "2 tasks",
            "8d574ca12637c3f86ab58f6bca33431e4b29694c6e818fd04446af920140fac7",
            25,
        ),
    ],
    ids=["opening", "payment", "several"],
)
def test_the_payment_hash_is_the_one_inside_a_signed_state(
    update, task, receipt, amount
):
    terms = ChannelTerms(
        chain_id=31337,
        contract=CONTRACT,
        payer=PeerId("payer"),
        payer_address=EthKey(b"\x01" * 32).address,
        payer_binding=b"",
        payee=PeerId("payee"),
        deposit=Minor(100),
        salt=bytes(32),
    )
    payment = {
        "taskId": task,
        "receiptHash": bytes.fromhex(receipt),
        "amount": amount,
    }
    fields = [("taskId", "string"), ("receiptHash", "bytes32"), ("amount", "uint256")]
    state = {
        "channelId": bytes.fromhex(terms.channel_id[2:]),
        "nonce": update.nonce,
        "net": update.net,
        "payment": payment,
    }

    assert payment_hash(update) == wallet_message("Payment", fields, payment).body
    assert state_digest(terms, update) == wallet_digest(
        "ChannelState",
        [
            ("channelId", "bytes32"),
            ("nonce", "uint64"),
            ("net", "int256"),
            ("payment", "Payment"),
        ],
        state,
        Payment=fields,
    )


def test_the_contract_takes_a_states_numbers_and_signatures_unchanged():
    update = ChannelUpdate(3, Minor(5), TaskId("task-" + "0" * 32), "cd" * 32, Minor(5))

    taken = CosignedState.of(SignedState(b"terms", update, b"payer's", b"payee's"))

    assert (taken.nonce, taken.net) == (3, 5)
    assert (taken.payer_signature, taken.payee_signature) == (b"payer's", b"payee's")
    assert taken.payment_hash == payment_hash(update)
