"""What the channel contract does, on the embedded chain and on anvil."""

from chain_world import WINDOW_S, refused
from zerostate.payment.chain import (
    Challenged,
    ChannelStatus,
    Claimed,
    Closing,
    Deposited,
    Opened,
    Settled,
    Withdrawn,
)
from zerostate.payment.contract import CosignedState
from zerostate.units import Minor


async def test_an_opened_channel_is_on_chain_as_both_agreed(world):
    terms = await world.open(deposit=1000, payees=100)

    channel = await world.payee.chain.channel(terms.channel_id)

    assert channel.status is ChannelStatus.OPEN
    assert (channel.payer, channel.payee) == (world.payer.address, world.payee.address)
    assert (channel.deposit_payer, channel.deposit_payee) == (1000, 100)
    assert (channel.nonce, channel.net, channel.deadline_s) == (0, 0, 0)
    assert channel.window_s == WINDOW_S


async def test_what_nobody_opened_is_unknown(world):
    channel = await world.payee.chain.channel(world.terms(5).channel_id)

    assert channel.status is ChannelStatus.UNKNOWN


async def test_both_close_at_once_and_each_claims_its_share(world):
    terms = await world.open(deposit=1000, payees=100)

    await world.tower.done(world.close(world.tower, terms, 1, 300))
    assert await world.shares() == (700, 400)

    chain = world.payee.chain
    before = await chain.balance(world.tower.address)
    await world.payee.done(chain.claim(world.tower.address))
    assert await chain.balance(world.tower.address) == before + 400
    assert await world.shares() == (700, 0)


async def test_a_negative_net_pays_the_payer(world):
    terms = await world.open(deposit=1000, payees=100)

    await world.payer.done(world.close(world.payer, terms, 1, -100))

    assert await world.shares() == (1100, 0)


async def test_anybody_answers_a_stale_close_with_a_newer_state(world):
    terms = await world.open(deposit=1000, payees=100)
    cid = terms.channel_id

    await world.payer.done(
        world.payer.chain.start_close(cid, world.state(terms, 1, 10))
    )
    await world.tower.done(world.tower.chain.challenge(cid, world.state(terms, 9, 400)))
    channel = await world.payee.chain.channel(cid)
    assert (channel.status, channel.nonce) == (ChannelStatus.CLOSING, 9)
    await world.travel(WINDOW_S + 1)
    await world.tower.done(world.tower.chain.settle(cid))

    assert await world.shares() == (600, 500)
    assert (await world.payee.chain.channel(cid)).status is ChannelStatus.SETTLED


async def test_deposits_after_a_signed_state_go_back_to_who_made_them(world):
    terms = await world.open(deposit=1000, payees=0)
    cid = terms.channel_id
    state = world.state(terms, 1, 250)

    await world.payee.done(world.payee.chain.deposit(cid, Minor(77), total=Minor(77)))
    await world.payer.done(world.payer.chain.deposit(cid, Minor(40), total=Minor(1040)))
    await world.payee.done(world.payee.chain.start_close(cid, state))
    await world.travel(WINDOW_S + 1)
    await world.payee.done(world.payee.chain.settle(cid))

    assert await world.shares() == (1040 - 250, 77 + 250)


async def test_a_withdrawal_pays_a_part_and_ends_older_states(world):
    terms = await world.open(deposit=1000, payees=100)
    cid = terms.channel_id

    await world.tower.done(world.withdraw(world.tower, terms, (5, 200), 300, 50))
    assert await world.shares() == (300, 50)
    chain = world.payer.chain
    await refused(chain.start_close(cid, world.state(terms, 4, 0)), "stale")

    await world.payee.done(
        world.payee.chain.start_close(cid, world.state(terms, 6, 210))
    )
    await world.travel(WINDOW_S + 1)
    await world.payee.done(world.payee.chain.settle(cid))
    assert await world.shares() == (1000 - 210, 100 + 210)


async def test_after_a_withdrawal_its_state_closes_without_signatures(world):
    terms = await world.open(deposit=1000, payees=100)
    await world.payer.done(world.withdraw(world.payer, terms, (5, 200), 300, 50))

    await world.close_and_settle(terms, nonce=5)

    assert await world.shares() == (800, 300)


async def test_a_channel_that_nobody_paid_on_closes_without_signatures(world):
    terms = await world.open(deposit=10, payees=20)

    await world.close_and_settle(terms)

    assert await world.shares() == (10, 20)


async def test_both_may_still_close_together_during_a_dispute(world):
    terms = await world.open(deposit=1000, payees=100)
    cid = terms.channel_id

    await world.payer.done(world.payer.chain.start_close(cid, CosignedState.known(0)))
    await world.payee.done(world.close(world.payee, terms, 8, 100))

    assert await world.shares() == (900, 200)


async def test_every_step_leaves_an_event_in_order(world):
    start = await world.payer.chain.head()
    terms = await world.open(deposit=1000, payees=100)
    cid = terms.channel_id
    await world.payer.done(world.withdraw(world.payer, terms, (2, 20), 30, 0))
    await world.payer.done(
        world.payer.chain.start_close(cid, world.state(terms, 3, 40))
    )
    await world.tower.done(world.tower.chain.challenge(cid, world.state(terms, 4, 50)))
    await world.travel(WINDOW_S + 1)
    await world.tower.done(world.tower.chain.settle(cid))
    await world.payee.done(world.payee.chain.claim())

    page = await world.tower.chain.events(start.block)
    facts = [event.fact for event in page.events]
    deadline_s = (await world.payer.chain.channel(cid)).deadline_s
    payer, payee = world.payer.address, world.payee.address
    assert facts == [
        Opened(cid, payer, payee, Minor(1000), WINDOW_S),
        Deposited(cid, payee, Minor(100)),
        Withdrawn(cid, 2, Minor(20), Minor(30), Minor(0)),
        Closing(cid, payer, 3, Minor(40), deadline_s),
        Challenged(cid, world.tower.address, 4, Minor(50), deadline_s),
        Settled(cid, 4, Minor(50), Minor(920), Minor(150), cooperative=False),
        Claimed(payee, payee, Minor(150)),
    ]
    assert page.until == (await world.payer.chain.head()).block
    assert (await world.tower.chain.events(page.until)).events == ()


async def test_opening_and_depositing_again_is_refused(world):
    terms = await world.open(deposit=1000, payees=100)

    await refused(world.opening(terms), "exists")
    await refused(
        world.payee.chain.deposit(terms.channel_id, Minor(100), total=Minor(100)),
        "total",
    )
