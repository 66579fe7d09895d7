"""What a payment costs: digest, signatures, and one whole payment made durable.

Run with `python benchmarks/payment.py`; takes some seconds. A whole payment is both
ends in one process, without a network: two channel stores on this directory's disk,
each with ``synchronous=FULL``.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trio

from zerostate.clock import SystemClock
from zerostate.evidence.binding import make_binding
from zerostate.evidence.channel import (
    ChannelTerms,
    ChannelUpdate,
    SignedState,
    encode_state,
    encode_terms,
    state_digest,
    verify_cosigned,
    with_payee,
)
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthKey, recover
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import receipt_sha256
from zerostate.ids import PeerId, new_task_id
from zerostate.payment import (
    ChannelManager,
    ExpectedPayment,
    PaymentConfig,
    PaymentTracer,
    open_channels,
)
from zerostate.units import Minor

ROUNDS = 9
CALLS = 300
PAYMENTS = 200
RECEIPT = b"a sealed receipt is opened by verify_payment only"


def measure(name: str, call: Callable[[], object]) -> None:
    """Print the median over rounds of one call's time."""
    rounds_us = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        rounds_us.append((time.perf_counter() - start) / CALLS * 1e6)
    row(name, statistics.median(rounds_us))


def row(name: str, median_us: float) -> None:
    print(f"{name:44s} {median_us:10.0f} {1e6 / median_us:12,.0f}")


def signatures() -> None:
    """Measure the parts that are pure computing."""
    payer, payee = Identity.generate(), Identity.generate()
    payer_key, payee_key = EthKey.generate(), EthKey.generate()
    terms = ChannelTerms(
        chain_id=31337,
        contract=ZERO_ADDRESS,
        payer=payer.peer_id,
        payer_address=payer_key.address,
        payer_binding=make_binding(payer, payer_key),
        payee=payee.peer_id,
        deposit=Minor(1000),
        salt=bytes(32),
    )
    terms = with_payee(terms, make_binding(payee, payee_key))
    update = ChannelUpdate(1, Minor(10), new_task_id(), "ab" * 32, Minor(10))
    digest = state_digest(terms, update)
    signed = payer_key.sign(digest)
    counter_signed = payee_key.sign(digest)
    state = encode_state(
        SignedState(
            encode_terms(terms), update, signed.signature, counter_signed.signature
        )
    )
    measure("EIP-712 digest", lambda: state_digest(terms, update))
    measure("sign", lambda: payer_key.sign(digest))
    measure("recover", lambda: recover(digest, signed.signature))
    measure("verify a co-signed state (known terms)", lambda: verify_cosigned(state))


class Direct:
    """Calls the payee's handlers; there is no network between."""

    def __init__(self, author: PeerId) -> None:
        self.author = author
        self.payee: ChannelManager | None = None

    async def request(self, peer_id: PeerId, message_type: str, body: bytes) -> bytes:
        del peer_id
        if self.payee is None:
            raise RuntimeError("the payee is not up yet")
        if message_type == "channel_open":
            return await self.payee.on_channel_open(self.author, body)
        return await self.payee.on_payment_update(self.author, body)


async def payments(directory: Path) -> None:
    """Measure whole payments, one after another."""
    payer, payee = Identity.generate(), Identity.generate()
    direct = Direct(payer.peer_id)
    tracer, clock = PaymentTracer(), SystemClock()
    async with (
        open_channels(
            PaymentConfig(data_dir=directory / "payer"),
            payer,
            tracer=tracer,
            clock=clock,
            counterparty=direct,
        ) as paying,
        open_channels(
            PaymentConfig(data_dir=directory / "payee"),
            payee,
            tracer=tracer,
            clock=clock,
            counterparty=direct,
        ) as paid,
    ):
        direct.payee = paid
        expected = ExpectedPayment(receipt_sha256(RECEIPT), Minor(10))
        paid.expects = lambda _task_id: expected
        start = time.perf_counter()
        channel = await paying.open_channel(payee.peer_id, Minor(10 * PAYMENTS))
        row("open a channel (3 durable writes)", (time.perf_counter() - start) * 1e6)
        times_us = []
        for _ in range(PAYMENTS):
            start = time.perf_counter()
            await paying.pay(channel, Minor(10), task_id=new_task_id(), receipt=RECEIPT)
            times_us.append((time.perf_counter() - start) * 1e6)
        row("one payment (3 durable writes)", statistics.median(times_us))
        row("one payment, slowest of 100", statistics.quantiles(times_us, n=100)[-1])


if __name__ == "__main__":
    print(f"{'':44s} {'median us':>10s} {'per second':>12s}")
    signatures()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as temporary:
        trio.run(payments, Path(temporary))
