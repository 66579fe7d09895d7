"""Signed transactions, byte for byte as eth_account makes them."""

import rlp
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from zerostate.evidence.ethereum import EthAddress, EthKey
from zerostate.payment.chain.fees import Fees
from zerostate.payment.chain.transactions import (
    TxRequest,
    encode_rlp,
    sign_transaction,
)

NUMBERS = st.integers(0, 2**96)
NESTED = st.recursive(
    st.binary(max_size=70), lambda items: st.lists(items, max_size=5), max_leaves=20
)


@given(NESTED)
def test_rlp_is_as_in_the_yellow_paper(item):
    assert encode_rlp(item) == rlp.encode(item)


@given(
    st.integers(1, 2**255 - 1).map(lambda n: n.to_bytes(32)),
    st.none() | st.binary(min_size=20, max_size=20),
    NUMBERS,
    st.binary(max_size=300),
    NUMBERS,
)
def test_a_transaction_is_signed_as_eth_account_signs_it(secret, to, value, data, tip):
    key = EthKey(secret)
    receiver = None if to is None else EthAddress("0x" + to.hex())

    raw, tx_hash = sign_transaction(
        key,
        TxRequest(receiver, value, data),
        chain_id=31337,
        nonce=value % 1000,
        gas=21_000 + value,
        fees=Fees(tip + 7, tip),
    )

    expected = Account.sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": value % 1000,
            "gas": 21_000 + value,
            "maxFeePerGas": tip + 7,
            "maxPriorityFeePerGas": tip,
            "to": to or b"",
            "value": value,
            "data": data,
        },
        secret,
    )
    assert raw == bytes(expected.raw_transaction)
    assert tx_hash == "0x" + bytes(expected.hash).hex()
    assert Account.recover_transaction(raw).lower() == key.address
