"""What a counterparty or a stranger may try, on the embedded chain and on anvil."""

from dataclasses import replace

import pytest

from chain_world import PAYEE_PEER, WINDOW_S, refused
from hostile_contract import call, deploy, open_as, send
from zerostate.evidence.channel import state_digest
from zerostate.evidence.channel_update import ChannelUpdate, payment_hash
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthKey
from zerostate.payment.contract import (
    CosignedState,
    FinalState,
    close_digest,
    peer_hash,
)
from zerostate.units import Minor

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1."""


async def test_a_state_of_another_channel_contract_or_chain_is_refused(world):
    terms = await world.open()
    start = world.payer.chain.start_close
    others = (
        world.terms(1000),
        replace(terms, contract=world.tower.address),
        replace(terms, chain_id=terms.chain_id + 1),
    )
    for other in others:
        # Signed by both, for this channel's id where the id is not the difference.
        update = ChannelUpdate(1, Minor(5))
        digest = state_digest(other, update)
        foreign = CosignedState(
            1, Minor(5), payment_hash(update), **world.signatures(digest)
        )
        await refused(start(terms.channel_id, foreign), "payer signature")


async def test_the_domain_alone_tells_contracts_and_chains_apart(world):
    terms = await world.open()
    final = FinalState(1, Minor(5))
    for chain_id, contract in (
        (terms.chain_id + 1, terms.contract),
        (terms.chain_id, world.tower.address),
    ):
        digest = close_digest(chain_id, contract, terms.channel_id, final)
        closing = world.payer.chain.close(
            terms.channel_id, final, **world.signatures(digest)
        )
        await refused(closing, "payer signature")


async def test_only_both_parties_signatures_count(world):
    terms = await world.open()
    state = world.state(terms, 1, 5)
    start = world.payer.chain.start_close
    update = ChannelUpdate(1, Minor(5))
    stranger = EthKey.generate().sign(state_digest(terms, update)).signature

    for changes, reason in (
        ({"payee_signature": state.payer_signature}, "payee signature"),
        ({"payee_signature": stranger}, "payee signature"),
        ({"payer_signature": b""}, "signature length"),
        ({"payer_signature": bytes(65)}, "signature"),
        ({"nonce": 2}, "payer signature"),
        ({"net": Minor(6)}, "payer signature"),
        ({"payment_hash": bytes(32)}, "payer signature"),
    ):
        forged = replace(state, **changes)
        await refused(start(terms.channel_id, forged), reason)
    # Longer than any signature: refused before the contract's first line.
    long = replace(state, payee_signature=state.payee_signature + b"\0")
    await refused(start(terms.channel_id, long), "")


async def test_the_other_form_of_a_signature_is_refused(world):
    terms = await world.open()
    state = world.state(terms, 1, 5)
    signature = state.payer_signature
    high_s = ORDER - int.from_bytes(signature[32:64])
    other = signature[:32] + high_s.to_bytes(32) + bytes((55 - signature[64],))

    await refused(
        world.payer.chain.start_close(
            terms.channel_id, replace(state, payer_signature=other)
        ),
        "malleable",
    )


@pytest.mark.parametrize("net", [1001, -101, 2**200, -(2**255)])
async def test_nobody_gets_more_than_is_locked(world, net):
    terms = await world.open(deposit=1000, payees=100)

    await refused(
        world.payer.chain.start_close(terms.channel_id, world.state(terms, 1, net)),
        "overspend",
    )
    await refused(world.close(world.payer, terms, 1, net), "overspend")


async def test_withdrawals_take_no_more_than_is_locked_and_never_back(world):
    terms = await world.open(deposit=1000, payees=100)

    await refused(world.withdraw(world.payer, terms, (1, 0), 1001, 0), "overspend")
    await refused(world.withdraw(world.payer, terms, (1, 0), 0, 101), "overspend")
    await refused(world.withdraw(world.payer, terms, (1, 0), 2**255, 0), "overspend")
    await world.payer.done(world.withdraw(world.payer, terms, (1, 0), 500, 0))
    await refused(world.withdraw(world.payer, terms, (2, 0), 400, 0), "total")
    await refused(world.withdraw(world.payer, terms, (1, 0), 500, 0), "stale")
    # 500 are gone: a state that needs them is worth nothing.
    await refused(
        world.payer.chain.start_close(terms.channel_id, world.state(terms, 2, 501)),
        "overspend",
    )


async def test_a_running_state_is_no_final_one_and_the_reverse(world):
    terms = await world.open()
    state = world.state(terms, 1, 300)
    final = FinalState(1, Minor(300))
    digest = close_digest(terms.chain_id, terms.contract, terms.channel_id, final)

    as_final = world.payer.chain.close(
        terms.channel_id,
        final,
        payer_signature=state.payer_signature,
        payee_signature=state.payee_signature,
    )
    await refused(as_final, "payer signature")
    as_running = CosignedState(1, Minor(300), bytes(32), **world.signatures(digest))
    await refused(
        world.payer.chain.start_close(terms.channel_id, as_running), "payer signature"
    )


async def test_a_stale_state_never_replaces_a_newer_one(world):
    terms = await world.open()
    cid = terms.channel_id
    await world.payer.done(
        world.payer.chain.start_close(cid, world.state(terms, 6, 210))
    )

    challenge = world.tower.chain.challenge
    await refused(challenge(cid, world.state(terms, 6, 0)), "stale")
    await refused(challenge(cid, world.state(terms, 5, 0)), "stale")
    await refused(world.close(world.payer, terms, 6, 0), "stale")


async def test_the_window_is_kept_on_both_sides(world):
    terms = await world.open()
    cid = terms.channel_id
    tower = world.tower.chain
    await refused(tower.settle(cid), "status")
    await refused(tower.challenge(cid, world.state(terms, 1, 0)), "status")
    await world.payer.done(
        world.payer.chain.start_close(cid, world.state(terms, 1, 10))
    )
    await refused(tower.settle(cid), "window open")

    await world.travel(WINDOW_S + 1)

    await refused(tower.challenge(cid, world.state(terms, 2, 0)), "window over")
    await world.tower.done(tower.settle(cid))
    await refused(tower.settle(cid), "status")
    await refused(world.close(world.payer, terms, 9, 0), "status")
    await refused(
        world.payer.chain.start_close(cid, world.state(terms, 9, 0)), "status"
    )
    await refused(world.payer.chain.deposit(cid, Minor(1), total=Minor(1001)), "status")
    assert await world.shares() == (990, 110)


async def test_a_stranger_can_neither_close_nor_deposit(world):
    terms = await world.open()
    stranger = world.tower.chain

    await refused(
        stranger.start_close(terms.channel_id, world.state(terms, 1, 5)), "party"
    )
    await refused(
        stranger.start_close(terms.channel_id, CosignedState.known(0)), "party"
    )
    await refused(stranger.deposit(terms.channel_id, Minor(1), total=Minor(1)), "party")


async def test_nobody_claims_twice_or_what_is_not_theirs(world):
    terms = await world.open(deposit=1000, payees=100)
    await world.payer.done(world.close(world.payer, terms, 1, 300))

    await refused(world.tower.chain.claim(), "nothing")
    await world.payer.done(world.payer.chain.claim())
    await refused(world.payer.chain.claim(), "nothing")
    assert await world.shares() == (0, 400)


async def test_a_channel_is_opened_only_as_its_id_says(world):
    terms = world.terms(1000)
    chain = world.payer.chain
    good = {
        "payee": world.payee.address,
        "payee_peer_hash": peer_hash(PAYEE_PEER),
        "deposit": terms.deposit,
        "salt": terms.salt,
        "window_s": WINDOW_S,
    }

    for changes, reason in (
        ({"deposit": Minor(999)}, "channel id"),
        ({"salt": bytes(32)}, "channel id"),
        ({"payee_peer_hash": bytes(32)}, "channel id"),
        ({"payee": world.payer.address}, "payee"),
        ({"payee": ZERO_ADDRESS}, "payee"),
        ({"window_s": 9}, "window"),
        ({"window_s": 30 * 86_400 + 1}, "window"),
    ):
        await refused(chain.open_channel(terms.channel_id, **good | changes), reason)
    # Nobody else can take the id first: the sender is in it.
    await refused(
        world.tower.chain.open_channel(terms.channel_id, **good), "channel id"
    )


async def test_a_party_that_rejects_ether_locks_nobody_elses(world):
    rejecter = await deploy(world.payer)
    terms = await open_as(world, rejecter, deposit=5)
    cid = terms.channel_id
    await world.payee.done(world.payee.chain.deposit(cid, Minor(500), total=Minor(500)))

    await world.close_and_settle(terms)

    assert await world.payee.chain.claimable(world.payee.address) == 500
    before = await world.payee.chain.balance(world.tower.address)
    await world.payee.done(world.payee.chain.claim(world.tower.address))
    assert await world.payee.chain.balance(world.tower.address) == before + 500
    assert await world.payee.chain.claimable(rejecter) == 5


async def test_a_claim_to_a_rejecting_contract_keeps_the_credit(world):
    rejecter = await deploy(world.payer)
    terms = await world.open(deposit=1000, payees=100)
    await world.payer.done(world.close(world.payer, terms, 1, 300))

    await refused(world.payer.chain.claim(rejecter), "")

    assert await world.shares() == (700, 400)


async def test_a_receiver_that_calls_back_is_paid_once(world):
    greedy = await deploy(world.payer)
    terms = await open_as(world, greedy, deposit=5)
    await world.open(deposit=1000, payees=100)  # what it would like to have too
    await world.close_and_settle(terms)

    await send(world.payer, greedy, call("claim"))

    assert await world.payer.chain.balance(greedy) == 5
    assert await world.payer.chain.claimable(greedy) == 0
