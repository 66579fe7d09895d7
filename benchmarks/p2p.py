"""What a message costs between two peers, beside py-libp2p alone.

Each contender is two processes on loopback, and all take turns in many short rounds,
first to ask one by one, then many at once; every second round in the other order. A
figure is the median over the rounds, a ratio the median of the rounds' ratios: what else
the machine does changes within seconds, and then both sides of a ratio have it. Ours
signs and verifies an envelope each way; "tracing on" records a CLIENT and a SERVER span
a request and exports them to a local sink, whose time at the end of a round is part of
its rate. Then gossip, paced, between three and five processes, and the DHT. Takes about
75 s. Bare is used as its own examples do: one read for the length, one for the rest.

    python benchmarks/p2p.py [ROUNDS]
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, Self

from zerostate.evidence.identity import Identity

HERE = Path(__file__).parent

ROUNDS = 20
"""Even, so that each contender is as often the first as the last."""

SIZES = (64, 4096)
"""Bytes of a request's body, and of its reply's."""

ASKED_ONE_BY_ONE = 40
ASKED_AT_ONCE = 160
IN_FLIGHT = 16
HANDSHAKES = 7

GOSSIP_NODES = (3, 5)
GOSSIP_MESSAGES = 60
GOSSIP_RATE_PER_S = 20.0
"""Five peers on two cores keep up with this: the figure is a message's way, not a
queue's length."""
DHT_RECORDS = 10

GOSSIP_PATIENCE_S = 5.0
"""A message that is not there this long after the last one was published is lost."""

MAX_ON_OFF = 1.2
"""Tracing on may cost this many times tracing off."""

MAX_WHOLE_BARE = 1.5
"""The whole, with envelope, signature and tracing, may cost this many times bare."""

END_TIMEOUT_S = 10.0

MODES = ("bare", "off", "on")
TITLES = {
    "bare": "bare py-libp2p",
    "off": "ours, tracing off",
    "on": "ours, tracing on",
}


class PeerProcess:
    """`benchmarks/p2p_peer.py`, told what to do line by line."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "p2p_peer.py"), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = ""

    @property
    def pid(self) -> int:
        return self._process.pid

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

    def wait_ready(self) -> None:
        self.address = self.answer()["address"]

    def tell(self, do: str, **params: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **params}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a peer of the benchmark ended early")
        return json.loads(line)

    def do(self, do: str, **params: object) -> dict[str, Any]:
        self.tell(do, **params)
        return self.answer()


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


@contextmanager
def peers(modes: Sequence[str], endpoint: str) -> Iterator[list[PeerProcess]]:
    """Run one process for each of `modes`; all know each other."""
    identities = [Identity.generate() for _ in modes]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                PeerProcess(
                    {
                        "mode": mode,
                        "endpoint": endpoint,
                        "known": [other.peer_id for other in identities],
                        "seed": identity.seed.hex(),
                    }
                )
            )
            for mode, identity in zip(modes, identities, strict=True)
        ]
        for each in running:
            each.wait_ready()
        yield running


class Pair:
    """One contender: who asks, and who answers."""

    def __init__(self, mode: str, asking: PeerProcess, answering: PeerProcess) -> None:
        self.mode = mode
        self._asking = asking
        self._answering = answering
        self.latency_us: dict[int, list[float]] = {size: [] for size in SIZES}
        self.all_us: dict[int, list[float]] = {size: [] for size in SIZES}
        """What each request of all rounds took, asked one by one."""
        self.each_us: dict[int, list[float]] = {size: [] for size in SIZES}
        """Time for one of many requests in flight, export included."""
        self.cpu_us: dict[int, list[float]] = {size: [] for size in SIZES}
        """CPU time of both processes for a request, export included: what a busy
        machine does not change much."""
        self._cpu_used_s = 0.0
        self.handshake_ms = 0.0

    def pin(self) -> None:
        """Give each end's event loop a core of its own, if there are two.

        Left alone, Linux has both ends of some pairs on one core and of others on two,
        which makes a request of the same contender take 1.1 or 1.9 ms.
        """
        cores = sorted(os.sched_getaffinity(0))[:2]
        for core, end in zip(cores, (self._asking, self._answering), strict=False):
            os.sched_setaffinity(end.pid, {core})

    def warm_up(self) -> None:
        address = self._answering.address
        self.handshake_ms = self._asking.do(
            "handshakes", address=address, count=HANDSHAKES
        )["p50_ms"]
        self._asking.do("connect", address=address)
        self._ask(SIZES[0], ASKED_ONE_BY_ONE, 1)
        self._flush()

    def one_by_one(self, size: int) -> None:
        """Ask, and ask again when the reply is there."""
        cpu_before_s = self._cpu_s()
        alone = self._ask(size, ASKED_ONE_BY_ONE, 1)
        self.latency_us[size].append(statistics.median(alone["took_us"]))
        self.all_us[size] += alone["took_us"]
        self._flush()
        self._cpu_used_s = self._cpu_s() - cpu_before_s

    def at_once(self, size: int) -> None:
        """Have `IN_FLIGHT` requests under way; after `one_by_one`."""
        cpu_before_s = self._cpu_s()
        together = self._ask(size, ASKED_AT_ONCE, IN_FLIGHT)
        total_s = together["total_s"] + self._flush()
        self.each_us[size].append(total_s / ASKED_AT_ONCE * 1e6)
        cpu_s = self._cpu_used_s + self._cpu_s() - cpu_before_s
        self.cpu_us[size].append(cpu_s / (ASKED_ONE_BY_ONE + ASKED_AT_ONCE) * 1e6)

    def _cpu_s(self) -> float:
        return sum(each.do("cpu")["cpu_s"] for each in (self._asking, self._answering))

    def _ask(self, size: int, count: int, parallel: int) -> dict[str, Any]:
        return self._asking.do(
            "ask",
            address=self._answering.address,
            size=size,
            count=count,
            parallel=parallel,
        )

    def _flush(self) -> float:
        if self.mode != "on":
            return 0.0
        started = time.perf_counter()
        self._asking.tell("flush")
        self._answering.tell("flush")
        self._asking.answer()
        self._answering.answer()
        return time.perf_counter() - started


def requests(rounds: int, endpoint: str) -> None:
    """Measure requests and handshakes, and print them beside the bars."""
    doubled = [mode for mode in MODES for _ in range(2)]
    with peers(doubled, endpoint) as running:
        pairs = {
            mode: Pair(mode, running[2 * number], running[2 * number + 1])
            for number, mode in enumerate(MODES)
        }
        for pair in pairs.values():
            pair.pin()
            pair.warm_up()
        turns = list(pairs.values())
        for _ in range(rounds):
            for size in SIZES:
                for pair in turns:
                    pair.one_by_one(size)
                for pair in turns:
                    pair.at_once(size)
            turns.reverse()
    for size in SIZES:
        _print_requests(size, pairs)
    print("\nhandshake (dial, secure, multiplex), p50")
    for pair in pairs.values():
        print(f"  {TITLES[pair.mode]:20s} {pair.handshake_ms:10.1f} ms")


def _print_requests(size: int, pairs: dict[str, Pair]) -> None:
    print(
        f"\n{f'request and reply, {size} B':22s} {'p50 us':>8s} {'p99 us':>8s}"
        f" {f'/s, {IN_FLIGHT} at once':>16s} {'CPU us':>8s}"
    )
    for mode, pair in pairs.items():
        figures = (pair.latency_us, pair.each_us, pair.cpu_us)
        p50, each, cpu = (statistics.median(one[size]) for one in figures)
        p99 = statistics.quantiles(pair.all_us[size], n=100)[-1]
        print(
            f"  {TITLES[mode]:20s} {p50:8.0f} {p99:8.0f} {1e6 / each:16,.0f} {cpu:8.0f}"
        )
    for over, under, bar in (("on", "off", MAX_ON_OFF), ("on", "bare", MAX_WHOLE_BARE)):
        latency, each, cpu = (
            _ratio(getattr(pairs[over], what)[size], getattr(pairs[under], what)[size])
            for what in ("latency_us", "each_us", "cpu_us")
        )
        verdict = "" if max(latency, each) <= bar else "  MISSED"
        print(
            f"  {f'{over} / {under}':20s} {latency:8.2f} {'':8s} {each:16.2f}"
            f" {cpu:8.2f}  at most {bar}{verdict}"
        )


def _ratio(over: list[float], under: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def gossip(nodes: int, endpoint: str) -> None:
    """Publish from one of `nodes` peers and count what the others heard."""
    with peers(["on"] * nodes, endpoint) as running:
        for dialer, listener in combinations(running, 2):
            dialer.do("connect", address=listener.address)
        for each in running:
            each.do("subscribe")
        time.sleep(1.5)  # gossipsub fills its mesh once a second
        running[0].do("publish", count=GOSSIP_MESSAGES, rate_per_s=GOSSIP_RATE_PER_S)
        ages_ms: list[float] = []
        wanted = GOSSIP_MESSAGES * (nodes - 1)
        deadline_s = time.monotonic() + GOSSIP_PATIENCE_S
        while len(ages_ms) < wanted and time.monotonic() < deadline_s:
            time.sleep(0.1)
            for each in running[1:]:
                ages_ms += each.do("heard")["ages_ms"]
    p99 = statistics.quantiles(ages_ms, n=100)[-1]
    print(
        f"  {nodes} peers {statistics.median(ages_ms):14.1f} {p99:9.1f}"
        f" {wanted - len(ages_ms):6d} of {wanted}"
    )


def dht(nodes: int, endpoint: str) -> None:
    """Put records at one of `nodes` peers, and get them at another."""
    with peers(["on"] * nodes, endpoint) as running:
        for dialer, listener in combinations(running, 2):
            dialer.do("connect", address=listener.address)
        time.sleep(1.5)  # until each has the others in its table
        put = running[0].do("dht_puts", count=DHT_RECORDS)
        author = running[0].address.rpartition("/")[2]
        got = running[-1].do("dht_gets", author=author, count=DHT_RECORDS)
    print(
        f"  {nodes} peers: put p50 {statistics.median(put['took_ms']):.1f} ms, held by"
        f" {put['holders']:.0f}; get p50 {statistics.median(got['took_ms']):.1f} ms,"
        f" longest {max(got['took_ms']):.1f} ms; {got['found']} of {DHT_RECORDS} found"
    )


def main() -> None:
    """Print everything."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with sink() as endpoint:
        requests(rounds, endpoint)
        print(
            f"\ngossip, {GOSSIP_RATE_PER_S:.0f}/s {'p50 ms':>7s} {'p99 ms':>9s}   lost"
        )
        for nodes in GOSSIP_NODES:
            gossip(nodes, endpoint)
        print("\nDHT")
        dht(GOSSIP_NODES[-1], endpoint)


if __name__ == "__main__":
    main()
