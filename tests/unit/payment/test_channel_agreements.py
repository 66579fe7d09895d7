"""What a payee signs beside payments, and the handshake after a reconnection."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from chain_parties import WINDOW_S, MemoryWorld, keys_in
from payment_parties import PAYEE, PAYER, STRANGER
from zerostate.errors import (
    ChannelFrozenError,
    ChannelNotFoundError,
    EvidenceError,
    InsufficientBalanceError,
    PaymentError,
    PeerUnreachableError,
    RemoteError,
    SignatureError,
    StaleStateError,
    WireError,
)
from zerostate.payment import wire
from zerostate.payment.contract import (
    FinalState,
    Withdrawal,
    close_digest,
    withdrawal_digest,
)
from zerostate.payment.ledger import agreed_bytes
from zerostate.payment.lifecycle import SignedFinal, SignedWithdrawal
from zerostate.units import Minor


@pytest.fixture
def world(tmp_path):
    return MemoryWorld(tmp_path)


def final(world, terms, nonce, net, key=None) -> bytes:
    end = FinalState(nonce, Minor(net))
    key = key or keys_in(world.directory)["payer"]
    digest = close_digest(terms.chain_id, terms.contract, terms.channel_id, end)
    signed = SignedFinal(end, key.sign(digest).signature)
    return wire.encode_channel_close(terms.channel_id, signed)


def part(world, terms, nonce, net, totals) -> bytes:
    wanted = Withdrawal(nonce, Minor(net), *map(Minor, totals))
    digest = withdrawal_digest(terms.chain_id, terms.contract, terms.channel_id, wanted)
    key = keys_in(world.directory)["payer"]
    signed = SignedWithdrawal(wanted, key.sign(digest).signature)
    return wire.encode_channel_withdraw(terms.channel_id, signed)


@pytest.mark.parametrize(
    ("nonce", "net", "error"),
    [
        (1, 250, StaleStateError),
        (2, 249, StaleStateError),
        (2, 0, StaleStateError),
        (2, 251, StaleStateError),
    ],
)
async def test_a_payee_signs_no_end_that_is_not_by_the_newest_state(
    world, nonce, net, error
):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        terms = (await pair.payee.get(channel_id)).terms
        with pytest.raises(error):
            await pair.payee.on_channel_close(
                PAYER.peer_id, final(world, terms, nonce, net)
            )
        assert (await pair.view("payee", channel_id)).phase == "open"


async def test_a_payee_signs_one_end_and_only_the_payers(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        terms = (await pair.payee.get(channel_id)).terms
        ask = pair.payee.on_channel_close
        stranger = keys_in(world.directory / "stranger")["payer"]
        with pytest.raises(SignatureError):
            await ask(PAYER.peer_id, final(world, terms, 2, 250, stranger))
        with pytest.raises(ChannelNotFoundError):
            await ask(STRANGER.peer_id, final(world, terms, 2, 250))
        first = await ask(PAYER.peer_id, final(world, terms, 2, 250))
        assert await ask(PAYER.peer_id, final(world, terms, 2, 250)) == first
        with pytest.raises(ChannelFrozenError):
            await ask(PAYER.peer_id, final(world, terms, 3, 250))
        with pytest.raises(RemoteError, match=ChannelFrozenError.code):
            await pair.pay(channel_id, 1)


@pytest.mark.parametrize(
    ("nonce", "net", "totals", "error"),
    [
        (1, 250, (0, 250), StaleStateError),
        (2, 249, (0, 249), StaleStateError),
        (2, 250, (0, 251), InsufficientBalanceError),
        (2, 250, (751, 0), InsufficientBalanceError),
    ],
)
async def test_a_payee_signs_no_withdrawal_of_what_is_not_there(
    world, nonce, net, totals, error
):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 250)
        terms = (await pair.payee.get(channel_id)).terms
        with pytest.raises(error):
            await pair.payee.on_channel_withdraw(
                PAYER.peer_id, part(world, terms, nonce, net, totals)
            )
        view = await pair.view("payee", channel_id)
        assert (view.withdrawn_payer, view.withdrawn_payee, view.nonce) == (0, 0, 1)


async def test_bodies_that_are_no_bodies_are_refused(world):
    async with world.started() as pair:
        for manager in (pair.payer, pair.payee):
            for name in ("funded", "close", "withdraw", "request", "sync"):
                handler = getattr(manager, f"on_channel_{name}")
                for body in (b"\xff\xff\xff", b"x" * 9000, b"", b"\x0a\x03abc"):
                    with pytest.raises(WireError):
                        await handler(PAYER.peer_id, body)


async def test_a_promise_is_closed_by_nobody(world, tmp_path):
    async with world.started() as pair:
        with pytest.raises(ChannelNotFoundError):
            await pair.payer.close("0x" + "00" * 32)
        channel_id = await pair.open(1000)
        with pytest.raises(PaymentError, match="does not look after"):
            await pair.payer.on_channel_request(
                PAYEE.peer_id,
                wire.encode_channel_request(wire.Wanted(channel_id, wire.Wish.CLOSE)),
            )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"window_s": WINDOW_S - 1}, "challenge window"),
        ({"window_s": 8 * 86_400}, "challenge window"),
        ({"deposit_payee": Minor(1)}, "deposit of 1 from us"),
        ({"expires_unix_s": 1_800_000_010}, "lives for 10 s"),
        ({"expires_unix_s": 1_900_000_000}, "lives for"),
        ({"window_s": 0}, "challenge window"),
    ],
)
async def test_a_payee_takes_part_only_on_its_own_terms(world, change, problem):
    async with world.started() as pair:
        await pair.open(1000)
        body = next(body for kind, body in pair.there.sent if kind == "channel_open")
        opening = wire.decode_channel_open(body)
        assert opening.window_s == WINDOW_S
    write(world, "payee", "DELETE FROM channels")
    async with world.started() as pair:
        changed = wire.encode_channel_open(replace(opening, **change))
        with pytest.raises(PaymentError, match=problem):
            await pair.payee.on_channel_open(PAYER.peer_id, changed)


def write(world, name, statement):
    """Change what a party's disk holds, while it is not running."""
    path = world.directory / name / "payments.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(statement)


async def test_a_lost_answer_is_made_good_by_the_handshake(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        pair.be_lost(replies=True)
        with pytest.raises(PeerUnreachableError):
            await pair.pay(channel_id, 250)
        pair.be_found()
        assert (await pair.payer.get(channel_id)).nonce == 0
        await pair.payer.synchronise(PAYEE.peer_id)
        ours = await pair.payer.get(channel_id)
        assert (ours.nonce, ours.proposed) == (1, None)
        assert [kind for kind, _ in pair.there.sent].count("payment_update") == 1


async def test_a_restored_payer_signs_nothing_before_it_has_caught_up(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        await pair.pay(channel_id, 100)
    shutil.copytree(world.directory / "payer", world.directory / "backup")
    async with world.started() as pair:
        await pair.pay(channel_id, 50)
    restore_backup(world, "payer")
    async with world.started() as pair:
        with pytest.raises(ChannelFrozenError, match="restored"):
            await pair.pay(channel_id, 10)
        with pytest.raises(StaleStateError, match="restored"):
            await pair.payer.close(channel_id)
        await pair.payer.synchronise(PAYEE.peer_id)
        assert (await pair.payer.get(channel_id)).balance_payee == 150
        await pair.pay(channel_id, 10)
        assert (await pair.payee.get(channel_id)).balance_payee == 160


async def test_a_restored_payee_takes_up_what_it_had_signed(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
    shutil.copytree(world.directory / "payee", world.directory / "backup")
    async with world.started() as pair:
        await pair.pay(channel_id, 50)
        terms = (await pair.payee.get(channel_id)).terms
    restore_backup(world, "payee")
    async with world.started() as pair:
        with pytest.raises(StaleStateError, match="restored"):
            await pair.payee.on_channel_close(PAYER.peer_id, final(world, terms, 1, 0))
        await pair.payer.synchronise(PAYEE.peer_id)
        assert (await pair.payee.get(channel_id)).balance_payee == 50
        await pair.pay(channel_id, 10)


def restore_backup(world, name):
    shutil.rmtree(world.directory / name)
    shutil.move(world.directory / "backup", world.directory / name)
    write(world, name, "UPDATE channels SET unsynced = 1")


async def test_nobody_takes_up_a_state_that_it_did_not_sign(world):
    async with world.started() as pair:
        channel_id = await pair.open(1000)
        other = await pair.payer.open_channel(PAYEE.peer_id, Minor(2000))
        await pair.pay(other, 250)
        foreign = agreed_bytes(await pair.payer.get(other))
        body = wire.encode_channel_sync(channel_id, foreign)
        with pytest.raises(EvidenceError):
            await pair.payee.on_channel_sync(PAYER.peer_id, body)
        pair.there.rewrite = lambda reply: wire.encode_channel_synced(
            foreign, ending=False
        )
        with pytest.raises(EvidenceError):
            await pair.payer.synchronise(PAYEE.peer_id)
        assert (await pair.payer.get(channel_id)).nonce == 0
