"""What a payment costs: signatures, and whole payments with full durability.

A payer and a payee, two processes, each with its store on this directory's disk
(``synchronous=FULL``). First joined by a socket pair, where 64 channels pay at once,
for 16 tasks at a time on each, with tracing off and on: each task has its own receipt,
its own payment and its own trace, and those that wait for a channel together share a
state (up to 16). Then one task at a time on each channel, where nothing is shared; then
one channel alone; then 64 tasks paid while they go on, 16 units of work waiting on each,
which one cumulative state pays together; then over libp2p. All take turns, round by
round: a figure is the median over the rounds. States a second are those that were
signed. CPU time tells more than the rate where the machine is busy, so each process's
is printed, with the load. Takes about two minutes.

    python benchmarks/payment.py [ROUNDS]
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from zerostate.evidence.binding import make_binding
from zerostate.evidence.channel import (
    ChannelTerms,
    SignedState,
    encode_state,
    encode_terms,
    state_digest,
    verify_cosigned,
    with_payee,
)
from zerostate.evidence.channel_update import ChannelUpdate
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthKey, recover
from zerostate.evidence.identity import Identity
from zerostate.ids import TaskId
from zerostate.units import Minor

HERE = Path(__file__).parent

ROUNDS = 5
CHANNELS = 64
BAR_PER_S = 5_000
"""Payments a second that the channel manager should make: 64 channels, no libp2p."""

COUNTS = {
    "64 channels x 16 tasks, tracing off": 12_000,
    "64 channels x 16 tasks, tracing on": 6_000,
    "64 channels x 1 task, tracing off": 3_000,
    "64 channels x 1 task, tracing on": 1_500,
    "64 streams x 16 units, tracing off": 12_000,
    "1 channel x 16 tasks, tracing off": 1_000,
    "1 channel x 1 task, tracing off": 200,
    "32 channels x 16 over libp2p, tracing off": 6_000,
    "32 channels x 1 over libp2p, tracing off": 600,
    "32 channels x 1 over libp2p, tracing on": 400,
    "1 channel x 1 over libp2p, tracing off": 100,
}
"""What is measured, and how many payments a round has. A peer serves 32 requests of
another at once."""

BAR = "64 channels x 16 tasks, tracing off"
CALLS = 300
END_TIMEOUT_S = 10.0


def measure(name: str, call: Callable[[int], object]) -> None:
    """Print the median over rounds of one call's time."""
    rounds_us = []
    for number in range(2 * ROUNDS):
        start = time.perf_counter()
        for repeat in range(CALLS):
            call(number * CALLS + repeat)
        rounds_us.append((time.perf_counter() - start) / CALLS * 1e6)
    median_us = statistics.median(rounds_us)
    print(f"  {name:42s} {median_us:8.0f} {1e6 / median_us:10,.0f}")


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

    def update(nonce: int) -> ChannelUpdate:
        task_id = TaskId("task-" + "0a" * 16)
        return ChannelUpdate(nonce + 1, Minor(10), task_id, "ab" * 32, Minor(10))

    digest = state_digest(terms, update(0))
    signature = payer_key.sign(digest).signature
    state = encode_state(
        SignedState(
            encode_terms(terms), update(0), signature, payee_key.sign(digest).signature
        )
    )
    print(f"  {'':42s} {'us':>8s} {'per second':>10s}")
    measure("EIP-712 digest", lambda nonce: state_digest(terms, update(nonce)))
    measure("sign", lambda _nonce: payer_key.sign(digest))
    measure("recover", lambda _nonce: recover(digest, signature))
    measure("verify a co-signed state (known terms)", lambda _: verify_cosigned(state))


class End:
    """`benchmarks/payment_end.py`, told what to do line by line."""

    def __init__(self, settings: dict[str, Any], descriptor: int | None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "payment_end.py"), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=() if descriptor is None else (descriptor,),
        )
        self.told = self.answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tell(self, do: str, **params: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **params}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("an end of the benchmark ended early")
        return json.loads(line)

    def do(self, do: str, **params: object) -> dict[str, Any]:
        self.tell(do, **params)
        return self.answer()


class Couple:
    """A payer and a payee with their channels."""

    def __init__(self, payer: End, payee: End, *, tracing: bool) -> None:
        self._ends = (payer, payee)
        self._tracing = tracing
        self._channels = payer.do("open", payee=payee.told["peer_id"], count=CHANNELS)[
            "channels"
        ]

    def pay(
        self, *, count: int, channels: int, at_once: int, streams: bool
    ) -> dict[str, float]:
        """Make `count` payments; return rate, latency and each end's CPU time."""
        payer, payee = self._ends
        payee.do("expect", streams=streams)
        before_s = self._cpu_s()
        done = payer.do(
            "stream" if streams else "pay",
            channels=self._channels[:channels],
            count=count,
            at_once=at_once,
        )
        total_s = done["total_s"] + self._flush()
        cpu_us = [
            (after - before) / count * 1e6
            for before, after in zip(before_s, self._cpu_s(), strict=True)
        ]
        return {
            "rate_per_s": count / total_s,
            "p50_ms": done["p50_ms"],
            "p99_ms": done["p99_ms"],
            "states_per_s": done["states"] / total_s,
            "payer_us": cpu_us[0],
            "payee_us": cpu_us[1],
        }

    def _cpu_s(self) -> list[float]:
        return [end.do("cpu")["cpu_s"] for end in self._ends]

    def _flush(self) -> float:
        if not self._tracing:
            return 0.0
        started = time.perf_counter()
        for end in self._ends:
            end.tell("flush")
        for end in self._ends:
            end.answer()
        return time.perf_counter() - started


@contextmanager
def couple(way: str, *, tracing: bool, endpoint: str, root: Path) -> Iterator[Couple]:
    """Run both ends, joined by a socket pair or by libp2p."""
    payer, payee = Identity.generate(), Identity.generate()
    sockets = socket.socketpair() if way == "pair" else (None, None)

    def settings(
        mine: Identity, other: Identity, end: socket.socket | None
    ) -> dict[str, Any]:
        return {
            "way": way,
            "tracing": tracing,
            "endpoint": endpoint,
            "directory": str(root / mine.peer_id),
            "seed": mine.seed.hex(),
            "other": other.peer_id,
            "fd": end.fileno() if end else None,
        }

    with ExitStack() as stack:
        descriptors = [end and stack.enter_context(end).fileno() for end in sockets]
        paid = stack.enter_context(
            End(settings(payee, payer, sockets[1]), descriptors[1])
        )
        paying = stack.enter_context(
            End(
                settings(payer, payee, sockets[0])
                | {"address": paid.told.get("address")},
                descriptors[0],
            )
        )
        yield Couple(paying, paid, tracing=tracing)


@contextmanager
def sink() -> Iterator[str]:
    """Run a receiver of spans in a process of its own; yield its endpoint."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "otlp_sink.py")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def payments(rounds: int, endpoint: str, root: Path) -> None:
    """Measure whole payments, all kinds in turn."""
    with ExitStack() as stack:
        couples = {
            (way, tracing): stack.enter_context(
                couple(way, tracing=tracing, endpoint=endpoint, root=root)
            )
            for way in ("pair", "libp2p")
            for tracing in (False, True)
        }

        def run(name: str, count: int) -> dict[str, float]:
            way = "libp2p" if "libp2p" in name else "pair"
            channels, _, _, at_once, *_ = name.replace(",", "").split()
            return couples[way, "tracing on" in name].pay(
                count=count,
                channels=int(channels),
                at_once=int(at_once),
                streams="streams" in name,
            )

        for name, count in COUNTS.items():
            run(name, min(count, 200))
        figures = {name: [] for name in COUNTS}
        for _ in range(rounds):
            for name, count in COUNTS.items():
                figures[name].append(run(name, count))
    report(figures)


def report(figures: dict[str, list[dict[str, float]]]) -> None:
    """Print the medians, and whether the bar is met."""
    columns = (
        *("rate_per_s", "states_per_s", "p50_ms", "p99_ms"),
        *("payer_us", "payee_us"),
    )
    titles = (
        *("per second", "states/s", "p50 ms", "p99 ms"),
        *("payer CPU us", "payee CPU us"),
    )
    print(f"\n  {'whole payments':42s}" + "".join(f"{title:>13s}" for title in titles))
    for name, rounds in figures.items():
        medians = [
            statistics.median(one[column] for one in rounds) for column in columns
        ]
        print(f"  {name:42s}" + "".join(f"{median:13,.1f}" for median in medians))
    rate_per_s = statistics.median(one["rate_per_s"] for one in figures[BAR])
    verdict = "met" if rate_per_s >= BAR_PER_S else "MISSED"
    print(f"\n  bar: {BAR_PER_S:,}/s with {BAR}: {rate_per_s:,.0f}/s, {verdict}")
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"  load of this machine ({os.cpu_count()} cores): {load}")


def main() -> None:
    """Print everything."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    signatures()
    with sink() as endpoint, tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        payments(rounds, endpoint, Path(directory))


if __name__ == "__main__":
    main()
