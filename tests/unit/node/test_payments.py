"""node.payments: what counterparties ask, before and after the node is ready."""

import pytest
import trio

from zerostate.errors import ChainUnreachableError, PaymentError
from zerostate.node.counterparts import Counterparts
from zerostate.node.payments import Payments
from zerostate.node.reconnections import Reconnections
from zerostate.p2p import Message
from zerostate.telemetry import TraceCarrier

TYPES = [
    "channel_open",
    "channel_funded",
    "payment_update",
    "channel_withdraw",
    "channel_close",
    "channel_request",
    "channel_sync",
]


class Channels:
    """Answers with what it was asked; reaches a chain unless told otherwise."""

    def __init__(self):
        self.reached = 0
        self.failure = None
        self.failures = {"chain_unreachable": 2}

    def __getattr__(self, name):
        async def answer(author, body):
            if self.failure is not None:
                raise self.failure
            return f"{name} {author} {body.decode()}".encode()

        return answer

    async def reach_chain(self):
        self.reached += 1
        if self.failure is not None:
            raise self.failure


class Peers:
    """Keeps the handlers."""

    def __init__(self):
        self.handlers = {}

    def handle(self, message_type, handler):
        self.handlers[message_type] = handler


@pytest.fixture
def channels():
    return Channels()


@pytest.fixture
def payments(channels):
    nobody = Reconnections(channels.synchronise, lambda _peer_id: False)
    return Payments(channels, Counterparts(), nobody)


def message(message_type):
    return Message(
        id=b"0" * 16,
        type=message_type,
        author="peer",
        to=None,
        topic=None,
        sent_unix_ns=0,
        expires_unix_ns=1,
        carrier=TraceCarrier(),
        body=b"body",
        sequence=0,
    )


async def test_each_type_goes_to_its_own_answer(autojump_clock, payments):
    peers = Peers()
    payments.serve(peers)
    payments.begin()

    assert list(peers.handlers) == TYPES
    for message_type, handle in peers.handlers.items():
        told = await handle(message(message_type))
        assert told.decode() == f"on_{message_type} peer body"


async def test_who_asks_before_the_node_is_ready_waits(autojump_clock, payments):
    peers = Peers()
    payments.serve(peers)
    answered = []

    async def ask():
        answered.append(await peers.handlers["payment_update"](message("x")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(1)
        assert answered == []
        payments.begin()
    assert answered == [b"on_payment_update peer body"]


async def test_a_refusal_is_passed_on(autojump_clock, channels, payments):
    peers = Peers()
    payments.serve(peers)
    payments.begin()
    channels.failure = PaymentError("no")

    with pytest.raises(PaymentError, match="no"):
        await peers.handlers["channel_open"](message("x"))


async def test_a_chain_that_is_away_is_logged_and_harms_nothing(
    autojump_clock, caplog, channels, payments
):
    channels.failure = ChainUnreachableError("nobody is there")

    await payments.reach_chain()

    assert channels.reached == 1
    assert "the chain cannot be reached now: nobody is there" in caplog.text


def test_what_failed_in_the_background_is_counted(payments):
    assert payments.stats() == {
        "channels.not_compared": 0,
        "channels.failed.chain_unreachable": 2,
    }
