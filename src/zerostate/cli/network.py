"""The demo's processes: a tracing stack, a chain and some peers, started together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.cli.cast import (
    MIN_PEERS,
    NetworkPlan,
    Role,
    make_identity,
    peer_spec,
    roles,
)
from zerostate.cli.concurrency import all_or_first_error, concurrently
from zerostate.cli.control import ControlClient
from zerostate.cli.demo_chain import CHAIN, chain_spec
from zerostate.cli.failures import ReportedError
from zerostate.cli.ports import DemoPorts, choose_ports
from zerostate.cli.processes import (
    START_TIMEOUT_S,
    ManagedProcess,
    ProcessSpec,
    Supervisor,
)
from zerostate.cli.progress import Progress
from zerostate.cli.report import ProcessEntry
from zerostate.errors import PortInUseError, ProcessError, StoreLockedError
from zerostate.ids import PeerId

START_ATTEMPTS: Final = 3
"""How often to choose other ports when somebody takes one before the stack has it."""

START_TIMEOUT_PER_PEER_S: Final = 4.0
"""More patience for each peer above `MIN_PEERS`, in seconds: they share the cores."""

CONNECT_TIMEOUT_S: Final = 10.0
"""Longest wait for one peer to connect to another, in seconds."""

_STACK: Final = "stack"


@dataclass(frozen=True, slots=True)
class Peer:
    """A running peer."""

    role: Role
    peer_id: PeerId
    addresses: tuple[str, ...]
    process: ManagedProcess
    control: ControlClient


@dataclass(frozen=True, slots=True)
class Network:
    """All that runs."""

    stack: ManagedProcess
    chain: ManagedProcess
    otlp_http: str
    ui: str
    data_dir: Path
    """Where the stack keeps traces."""
    keeps_traces: bool
    """Whether `data_dir` outlives the demo."""
    peers: tuple[Peer, ...]

    @property
    def requester(self) -> Peer:
        """The peer that submits tasks."""
        return self.peers[0]

    @property
    def executor(self) -> Peer:
        """The peer that runs them."""
        return self.peers[1]

    def processes(self) -> tuple[ProcessEntry, ...]:
        """Return who runs where."""
        peers = (
            ProcessEntry(
                peer.role.role, peer.role.service, peer.process.pid, peer.peer_id
            )
            for peer in self.peers
        )
        return (
            *peers,
            ProcessEntry(CHAIN, CHAIN, self.chain.pid, None),
            ProcessEntry(_STACK, _STACK, self.stack.pid, None),
        )

    def ended(self) -> list[str]:
        """Return the names of the processes that have ended but should still run."""
        processes = (self.stack, self.chain, *(peer.process for peer in self.peers))
        return [each.spec.name for each in processes if each.exit_code is not None]


async def start_network(
    plan: NetworkPlan, supervisor: Supervisor, progress: Progress
) -> Network:
    """Start stack, chain and peers at once and return when all are ready.

    Raises:
        ReportedError: One of them says why it cannot start.
        ProcessError: One of them could not be started in time. In both cases the
            others may run on; the supervisor ends them.
    """
    for attempt in range(1, START_ATTEMPTS + 1):
        ports = choose_ports()
        try:
            return await _start_all(plan, ports, supervisor, progress)
        except ReportedError as exc:
            if exc.reported.code != PortInUseError.code or attempt == START_ATTEMPTS:
                raise
        await supervisor.stop()
        progress.step("somebody took a port in the meantime; starting again")
    raise AssertionError("the last attempt returns or raises")


async def connect_all(network: Network) -> None:
    """Connect every peer to every other, each pair once.

    Raises:
        ControlError: A peer cannot reach another.
        ProcessError: A peer does not answer.
    """
    await concurrently(
        dialer.control.call(
            "connect", {"address": listener.addresses[0]}, timeout_s=CONNECT_TIMEOUT_S
        )
        for position, dialer in enumerate(network.peers)
        for listener in network.peers[position + 1 :]
    )


async def _start_all(
    plan: NetworkPlan, ports: DemoPorts, supervisor: Supervisor, progress: Progress
) -> Network:
    cast = roles(plan.peers)
    peer_ids = {role: make_identity(plan.run_dir / role.service) for role in cast}
    # Beside the peers from the start: they need it only when they have spans to send.
    extra_s = START_TIMEOUT_PER_PEER_S * (plan.peers - MIN_PEERS)
    async with all_or_first_error() as group:
        starting_stack = group.create_task(
            _start_stack(plan, ports, supervisor, progress)
        )
        starting_chain = group.create_task(
            _start_chain(plan, ports, cast, supervisor, progress)
        )
        starting_peers = [
            group.create_task(
                _start_peer(
                    peer_spec(plan, ports, role, peer_ids),
                    role,
                    supervisor,
                    progress,
                    timeout_s=START_TIMEOUT_S + extra_s,
                )
            )
            for role in cast
        ]
    stack, data_dir = starting_stack.result()
    return Network(
        stack=stack,
        chain=starting_chain.result(),
        otlp_http=str(stack.ready.get("otlp_http")),
        ui=str(stack.ready.get("ui")),
        data_dir=data_dir,
        keeps_traces=data_dir == plan.data_dir,
        peers=tuple(starting.result() for starting in starting_peers),
    )


async def _start_stack(
    plan: NetworkPlan, ports: DemoPorts, supervisor: Supervisor, progress: Progress
) -> tuple[ManagedProcess, Path]:
    data_dir = plan.data_dir
    try:
        stack = await supervisor.start(_stack_spec(plan, data_dir, ports))
    except ReportedError as exc:
        if exc.reported.code != StoreLockedError.code or plan.data_dir_is_wanted:
            raise
        progress.step(
            f"another process holds {plan.data_dir}: this run's traces go to a "
            "temporary directory and end with it"
        )
        data_dir = plan.run_dir / "traces"
        stack = await supervisor.start(_stack_spec(plan, data_dir, ports))
    progress.step(f"stack is ready (pid {stack.pid}, {stack.ready.get('ui')})")
    return stack, data_dir


async def _start_chain(
    plan: NetworkPlan,
    ports: DemoPorts,
    cast: tuple[Role, ...],
    supervisor: Supervisor,
    progress: Progress,
) -> ManagedProcess:
    funded = [plan.run_dir / role.service for role in cast if role.has_money]
    chain = await supervisor.start(chain_spec(plan.run_dir, ports.chain, funded))
    progress.step(f"chain is ready (pid {chain.pid}, {chain.ready.get('url')})")
    return chain


def _stack_spec(plan: NetworkPlan, data_dir: Path, ports: DemoPorts) -> ProcessSpec:
    options = {
        "--data": data_dir,
        "--otlp-http": ports.otlp_http,
        "--otlp-grpc": ports.otlp_grpc,
        "--ui": ports.ui,
    }
    pairs = (str(part) for option in options.items() for part in option)
    return ProcessSpec(
        name=_STACK,
        module="zerostate.cli.stack_process",
        arguments=tuple(pairs),
        log_path=plan.run_dir / "stack.log",
        serves_others=True,
    )


async def _start_peer(
    spec: ProcessSpec,
    role: Role,
    supervisor: Supervisor,
    progress: Progress,
    *,
    timeout_s: float,
) -> Peer:
    process = await supervisor.start(spec, timeout_s=timeout_s)
    match process.ready:
        case {
            "peer_id": str(peer_id),
            "addresses": [str(_), *_] as addresses,
            "control": str(control),
        }:
            progress.step(f"{role.service} is ready (pid {process.pid}, {peer_id})")
            client = ControlClient(role.service, Path(control))
            known = tuple(str(address) for address in addresses)
            return Peer(role, PeerId(peer_id), known, process, client)
        case _:
            raise ProcessError(f"{role.service} is ready but does not say where")
