"""node.witnessing on a network in memory: who signs what, and who is asked."""

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from zerostate.errors import RemoteError
from zerostate.evidence.receipt import Receipt, seal_receipt
from zerostate.evidence.witness import open_witness, seal_witness
from zerostate.guild import GuildConfig, GuildTracer, open_guilds
from zerostate.ids import new_guild_id, new_task_id
from zerostate.node import messages_pb2 as pb
from zerostate.node.witnessing import WITNESS_TIMEOUT_S, Witness, ask_witnesses
from zerostate.testing import FakeClock
from zerostate.testing.peers import open_memory_peers

OFFERS = ((), ("wasm",), ("witness",), ("witness",))
NOW_NS = 1_800_000_000_000_000_000


class Case:
    """A requester, an executor and two witnesses in one guild."""

    def __init__(self, peers, guilds, guild):
        self.requester, self.executor, *self.witnesses = peers
        self.guild = guild
        self.own = [
            Witness(each.node, theirs, each.identity, FakeClock(), max_seen=2)
            for each, theirs in zip(self.witnesses, guilds[2:], strict=True)
        ]

    def receipt(self, **fields):
        receipt = Receipt(
            task_id=new_task_id(),
            trace_id="a" * 32,
            guild_id=self.guild.guild_id,
            requester=self.requester.peer_id,
            executor=self.executor.peer_id,
            manifest_sha256="1" * 64,
            module_sha256="2" * 64,
            input_sha256="3" * 64,
            output_sha256="4" * 64,
            outcome="ok",
            exit_code=0,
            fuel_used=1,
            memory_peak_bytes=2,
            cpu_time_ns=3,
            wall_time_ns=4,
            started_unix_ns=5,
            ended_unix_ns=6,
            engine_version="an engine",
            engine_config_sha256="5" * 64,
            price=7,
        )
        return seal_receipt(self.executor.identity, replace(receipt, **fields))

    async def show(self, receipt, *, author=None, witness=None):
        """Show a receipt to a witness; return why it does not sign, or None."""
        node = (author or self.requester).node
        body = pb.ReceiptShown(receipt=receipt).SerializeToString()
        try:
            reply = await node.request(
                (witness or self.witnesses[0]).peer_id, "receipt_witness", body
            )
        except RemoteError as exc:
            return exc.remote_code
        open_witness(pb.ReceiptSeen.FromString(reply).statement, receipt=receipt)
        return None

    async def ask(self, receipt):
        return await ask_witnesses(self.requester.node, self.guild, receipt)


@asynccontextmanager
async def open_case():
    async with AsyncExitStack() as stack:
        peers = await stack.enter_async_context(
            open_memory_peers(len(OFFERS), clock=FakeClock())
        )
        guilds = [
            await stack.enter_async_context(
                open_guilds(
                    peer.node,
                    GuildConfig(heartbeat_interval_s=1000, capabilities=offers),
                    identity=peer.identity,
                    tracer=GuildTracer(peer.recorder.provider),
                    clock=FakeClock(),
                )
            )
            for peer, offers in zip(peers, OFFERS, strict=True)
        ]
        guild = await guilds[0].create(wanted=("wasm", "witness"), members=3)
        # Whoever joined first has yet to hear of the others.
        await trio.testing.wait_all_tasks_blocked()
        yield Case(peers, guilds, guild)


@pytest.fixture
async def case():
    async with open_case() as case:
        yield case


async def test_a_witness_signs_what_it_was_shown(case, autojump_clock):
    receipt = case.receipt()
    statement, found = await case.ask(receipt)

    assert open_witness(statement, receipt=receipt) == found
    assert found.witness in {each.peer_id for each in case.witnesses}
    assert found.seen_unix_ns == FakeClock().wall_ns()


async def test_the_same_receipt_is_signed_again(case, autojump_clock):
    receipt = case.receipt()

    assert [await case.show(receipt) for _ in range(2)] == [None, None]


async def test_a_second_receipt_for_one_task_is_not_signed(case, autojump_clock):
    task_id = new_task_id()

    assert await case.show(case.receipt(task_id=task_id)) is None
    assert await case.show(case.receipt(task_id=task_id, price=8)) == "evidence"
    assert await case.show(case.receipt()) is None


async def test_what_a_witness_remembers_is_bounded(case, autojump_clock):
    task_id = new_task_id()
    for receipt in (case.receipt(task_id=task_id), case.receipt(), case.receipt()):
        assert await case.show(receipt) is None

    assert await case.show(case.receipt(task_id=task_id, price=8)) is None
    assert len(case.own[0]._seen) == 2


async def test_only_the_requester_may_show_a_receipt(case, autojump_clock):
    assert await case.show(case.receipt(), author=case.executor) == "evidence"


async def test_a_receipt_of_another_guild_is_not_signed(case, autojump_clock):
    receipt = case.receipt(guild_id=new_guild_id())

    assert await case.show(receipt) == "not_a_member"


@pytest.mark.parametrize("receipt", [b"", b"\xff" * 100])
async def test_what_is_no_receipt_is_not_signed(case, autojump_clock, receipt):
    assert await case.show(receipt) in {"envelope", "evidence"}


async def test_the_next_witness_is_asked_if_one_is_frozen(case, autojump_clock):
    first, second = [m.peer_id for m in case.guild.offering("witness")]
    by_id = {each.peer_id: each for each in case.witnesses}
    by_id[first].host.freeze()
    began_s = trio.current_time()
    _, found = await case.ask(case.receipt())

    assert found.witness == second
    assert trio.current_time() - began_s == pytest.approx(WITNESS_TIMEOUT_S, abs=0.5)


async def test_a_statement_that_another_peer_signed_is_not_taken(case, autojump_clock):
    stranger, receipt = case.executor.identity.generate(), case.receipt()

    async def lend(message):
        shown = pb.ReceiptShown.FromString(message.body).receipt
        statement = seal_witness(stranger, shown, seen_unix_ns=NOW_NS)
        return pb.ReceiptSeen(statement=statement).SerializeToString()

    for witness in case.witnesses:
        witness.node.handle("receipt_witness", lend)

    assert await case.ask(receipt) is None


async def test_without_a_witness_there_is_none(case, autojump_clock):
    parties = tuple(m for m in case.guild.members if "witness" not in m.capabilities)
    guild = replace(case.guild, members=parties)

    assert await ask_witnesses(case.requester.node, guild, case.receipt()) is None
