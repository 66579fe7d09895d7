"""Many peers as many processes, and a stack that takes their spans."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from held_ports import held_ports
from processes.peer_process import (
    PeerPlan,
    PeerProcess,
    RefusedError,
    Tell,
    tell_nobody,
)
from processes.stored_traces import StoredTraces, assert_books_balance
from stack_process import StackProcess
from zerostate.node.identity import load_or_create

SettingsOf = Callable[[int, Sequence[PeerProcess]], Mapping[str, Any]]
"""Returns settings of the peer with that number among all peers."""

Topology = Literal["full", "ring", "star", "none"]

TASKS = Path(__file__).parents[2] / "examples" / "tasks"
WORD_COUNT = TASKS / "word_count.wasm"
LOOP = TASKS / "loop.wasm"
"""Runs until it is stopped."""

STARTING_AT_ONCE = 4
"""Starting a process takes some 1.3 s of a core; more at once only get in the way of
each other, and of the watchdogs of those that run."""

EXPORT_DELAY_S = 0.2
"""As in the demo: what a killed peer has not exported by then is lost."""

QUIET_S = 30.0
"""Longest wait until nothing is under way any more."""

QUIET_POLL_S = 1.0

REDIAL_CAP_S = 2.0
"""Longest pause between two dials of a peer that stays connected by itself."""

POLL_S = 0.05
"""Between two looks for something that another process is about to do."""


@dataclass(frozen=True)
class TaskResult:
    """What one task came to, as its requester reported it."""

    requester: str
    report: Mapping[str, Any]
    error_code: str | None
    error_message: str
    took_s: float

    @property
    def trace_id(self) -> str:
        return self.report.get("trace_id", "")


class ProcessNetwork:
    """The peers that run. Made by `network_of`."""

    def __init__(
        self,
        peers: Sequence[PeerProcess],
        configs: Mapping[str, Mapping[str, Any]],
        directory: Path,
        stack: StackProcess | None,
    ) -> None:
        self.peers = peers
        self._configs = configs
        self._stack = stack
        self._input = directory / "input.txt"
        self._input.write_text("some words to count\n" * 20)
        self._workers = ThreadPoolExecutor(32)

    @property
    def stack(self) -> StackProcess:
        """The stack."""
        assert self._stack is not None, "this network was started without a stack"
        return self._stack

    def __getitem__(self, name: str) -> PeerProcess:
        return next(peer for peer in self.peers if peer.name == name)

    def start(self, *peers: PeerProcess) -> None:
        """Start peers that do not run, `STARTING_AT_ONCE` at once, and wait for them."""
        for first in range(0, len(peers), STARTING_AT_ONCE):
            wave = peers[first : first + STARTING_AT_ONCE]
            for peer in wave:
                peer.start(self._configs[peer.name])
            for peer in wave:
                peer.wait_ready()

    def make_whole(self) -> None:
        """Start whoever was killed, let go on who is frozen, wait for all connections.

        Only for peers that were started with ``kept``.
        """
        for peer in self.peers:
            if peer.is_running:
                peer.thaw()
        self.start(*(peer for peer in self.peers if not peer.is_running))
        self.wait_connected(self.peers)

    def wait_connected(
        self, peers: Sequence[PeerProcess], *, timeout_s: float = 20.0
    ) -> float:
        """Wait until each of `peers` has as many connections as it has others."""
        return wait_until(
            lambda: all(peer.connected() == len(peers) - 1 for peer in peers),
            f"{[peer.name for peer in peers]} connected",
            timeout_s=timeout_s,
        )

    def connect(self, topology: Topology) -> None:
        """Have peers dial each other: all pairs, in a circle, or all to the first."""
        for dialer, listener in _edges(self.peers, topology):
            dialer.call("connect", address=listener.address)

    def submit(
        self,
        requester: PeerProcess,
        *,
        members: int,
        module: Path = WORD_COUNT,
        deadline_s: float = 30.0,
        manifest: Mapping[str, Any] = MappingProxyType({}),
        tell: Tell = tell_nobody,
    ) -> TaskResult:
        """Run one task; a failure is a result too."""
        started_s = time.monotonic()
        code, message = None, ""
        try:
            report = requester.call_telling(
                "submit",
                tell,
                deadline_s + 60.0,
                module_path=str(module),
                input_path=str(self._input),
                members=members,
                deadline_s=deadline_s,
                manifest=dict(manifest),
            )
        except RefusedError as exc:
            report, code, message = exc.data, exc.code, str(exc)
        took_s = time.monotonic() - started_s
        return TaskResult(requester.name, report, code, message, took_s)

    def submit_soon(
        self, requester: PeerProcess, **options: Any
    ) -> "Future[TaskResult]":
        """Run one task in the background."""
        return self._workers.submit(self.submit, requester, **options)

    def submit_many(
        self, requesters: Sequence[PeerProcess], count: int, *, members: int
    ) -> list[TaskResult]:
        """Run `count` tasks: all requesters at once, each one task at a time."""

        def work(requester: PeerProcess, share: int) -> list[TaskResult]:
            return [self.submit(requester, members=members) for _ in range(share)]

        shares = [
            count // len(requesters) + (number < count % len(requesters))
            for number in range(len(requesters))
        ]
        working = [
            self._workers.submit(work, requester, share)
            for requester, share in zip(requesters, shares, strict=True)
        ]
        return [result for each in working for result in each.result()]

    @property
    def names(self) -> dict[str, str]:
        """The name of each peer by its id."""
        return {peer.peer_id: peer.name for peer in self.peers}

    @property
    def killed(self) -> dict[str, str]:
        """The name of each peer that was ever killed, by its id."""
        return {peer.peer_id: peer.name for peer in self.peers if peer.was_killed}

    def stored_traces(self) -> StoredTraces:
        """Read all that the stack has stored, once nothing is under way any more.

        What members do after a task has ended, such as leaving its guild, and the
        loops in the background go on: a span may be stored before its parent has
        ended. So this looks again until no parent is missing but those that killed
        peers had, or gives up.
        """
        lost = self.killed
        deadline_s = time.monotonic() + QUIET_S
        while True:
            self.flush()
            before = self.stack.get("/api/zs/ledger")["storedSpans"]
            stored = StoredTraces.read(self.stack)
            books = self.stack.get("/api/zs/ledger")
            quiet = before == books["storedSpans"]
            late = time.monotonic() > deadline_s
            whole = not any(trace.unexplained_orphans(lost) for trace in stored)
            if late or (quiet and whole):
                if quiet:
                    assert_books_balance(books, stored)
                return stored
            time.sleep(QUIET_POLL_S)

    def stats(self) -> dict[str, dict[str, int]]:
        """Return the counters of each peer that runs."""
        return {peer.name: peer.stats() for peer in self.peers if peer.is_running}

    def totals(self) -> Counter[str]:
        """Return the counters of all peers, added up."""
        return sum(map(Counter, self.stats().values()), Counter())

    def rss_bytes(self) -> dict[str, int]:
        """Return the memory of each peer."""
        return {peer.name: peer.rss_bytes() for peer in self.peers if peer.is_running}

    def flush(self) -> None:
        """Have every peer that runs export what it has."""
        running = [peer for peer in self.peers if peer.is_running]
        flushing = [
            self._workers.submit(peer.call, "flush", timeout_s=10.0) for peer in running
        ]
        for peer, each in zip(running, flushing, strict=True):
            assert each.result()["flushed"], f"{peer.name} could not export its spans"

    def close(self) -> None:
        """End every peer."""
        for peer in self.peers:
            peer.tell_to_end()
        for peer in self.peers:
            peer.end()
        self._workers.shutdown(cancel_futures=True)


@contextmanager
def network_of(
    plans: Sequence[PeerPlan],
    directory: Path,
    *,
    with_stack: bool = True,
    all_known: bool = True,
    topology: Topology = "full",
    kept: bool = False,
    settings_of: SettingsOf | None = None,
) -> Iterator[ProcessNetwork]:
    """Start peers and stack, connect the peers, and end everything.

    Args:
        plans: One a peer.
        directory: For configurations, identities, logs and traces; its path must be
            short enough for a Unix socket's.
        with_stack: Start a stack that takes the spans.
        all_known: Whether each peer's ``known`` names all others.
        topology: Who dials whom at first.
        kept: Have the peers stay connected by themselves, each dialling those that
            stand before it in `plans`, instead of `topology`; each then keeps its port
            and tells how it is.
        settings_of: Further settings of a peer, for which all peer ids must be known.
    """
    with (
        _maybe_stack(directory, wanted=with_stack) as stack,
        held_ports(len(plans) if kept else 0) as ports,
    ):
        peers = [_prepare(plan, directory) for plan in plans]
        endpoint = stack.ready["otlp_http"] if stack else "127.0.0.1:9"
        settings = (
            dict(_kept(peers, ports)) if kept else {peer.name: {} for peer in peers}
        )
        configs = {
            peer.name: {
                "service_name": peer.name,
                "data_dir": str(peer.directory),
                "known": [
                    other.peer_id for other in peers if all_known and other is not peer
                ],
                "capabilities": list(peer.plan.capabilities),
                "otlp_endpoint": endpoint,
                "export_delay_s": EXPORT_DELAY_S,
                "background_sampling_rate": 1.0,
                "tracing": with_stack,
                "die_with_parent": True,
                **settings[peer.name],
                **peer.plan.settings,
                **(settings_of(number, peers) if settings_of is not None else {}),
            }
            for number, peer in enumerate(peers)
        }
        network = ProcessNetwork(peers, configs, directory, stack)
        try:
            network.start(*peers)
            if kept:
                network.wait_connected(peers)
            else:
                network.connect(topology)
            yield network
        finally:
            network.close()


def wait_until(
    is_so: Callable[[], object], what: str, *, timeout_s: float = 10.0
) -> float:
    """Wait for what other processes bring about; return after how many seconds."""
    started_s = time.monotonic()
    while not is_so():
        if time.monotonic() - started_s > timeout_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(POLL_S)
    return time.monotonic() - started_s


def _prepare(plan: PeerPlan, directory: Path) -> PeerProcess:
    own = directory / plan.name
    own.mkdir(mode=0o700)
    return PeerProcess(plan, load_or_create(own / "identity.key").peer_id, own)


def _kept(
    peers: Sequence[PeerProcess], ports: Sequence[int]
) -> Iterator[tuple[str, dict[str, Any]]]:
    listen = [f"/ip4/127.0.0.1/tcp/{port}" for port in ports]
    addresses = [
        f"{address}/p2p/{peer.peer_id}"
        for address, peer in zip(listen, peers, strict=True)
    ]
    for number, peer in enumerate(peers):
        yield (
            peer.name,
            {
                "listen": [listen[number]],
                "bootstrap": addresses[:number],
                "ops_listen": "127.0.0.1:0",
                "p2p": {"redial_cap_s": REDIAL_CAP_S},
            },
        )


@contextmanager
def _maybe_stack(directory: Path, *, wanted: bool) -> Iterator[StackProcess | None]:
    if not wanted:
        yield None
        return
    with StackProcess(directory / "traces") as stack:
        yield stack


def _edges(
    peers: Sequence[PeerProcess], topology: Topology
) -> Iterable[tuple[PeerProcess, PeerProcess]]:
    match topology:
        case "full":
            return combinations(peers, 2)
        case "ring":
            return zip(peers, [*peers[1:], peers[0]], strict=True)
        case "star":
            return ((peer, peers[0]) for peer in peers[1:])
        case "none":
            return ()
