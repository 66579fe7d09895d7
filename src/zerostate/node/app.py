"""Wire the layers of one peer and run them until told to stop."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

import zerostate
from zerostate.clock import SystemClock
from zerostate.evidence.identity import Identity
from zerostate.execution.config import ExecutionConfig
from zerostate.execution.runner import open_runner
from zerostate.execution.tracing import ExecutionTracer
from zerostate.guild import (
    EXECUTES,
    GuildTracer,
    open_guilds,
)
from zerostate.node.archive import TaskArchive
from zerostate.node.bans import Bans
from zerostate.node.bidding import ExecutorTerms, Price
from zerostate.node.channel_commands import ChannelCommands
from zerostate.node.commands import OUTLASTING, Commands
from zerostate.node.config import NodeConfig
from zerostate.node.control import ControlServer
from zerostate.node.data_dir import IDENTITY_NAME, hold_data_dir
from zerostate.node.debts import Debts
from zerostate.node.earnings import Earnings, open_earnings
from zerostate.node.executor import Executor
from zerostate.node.guild_commands import GuildCommands
from zerostate.node.history import open_history
from zerostate.node.identity import load_or_create
from zerostate.node.layers import Layers
from zerostate.node.ops import Ops
from zerostate.node.paying import TaskPayments
from zerostate.node.payments import open_payments
from zerostate.node.peer_commands import PeerCommands
from zerostate.node.sampling import node_sampler
from zerostate.node.task import Requester
from zerostate.node.task_commands import TaskCommands
from zerostate.node.tracing import NodeTracer
from zerostate.node.vitals import take_vitals
from zerostate.node.witnessing import WITNESSES, Witness
from zerostate.p2p import P2PTracer, PeerNode, open_peer_node
from zerostate.p2p.host import HostOpener
from zerostate.p2p.tasks import open_background, start_clean
from zerostate.payment import PaymentTracer
from zerostate.telemetry import (
    BatchConfig,
    TelemetryConfig,
    TelemetryHandle,
    TracerProvider,
    init_tracer,
)
from zerostate.units import Minor

BANS_NAME: Final = "bans.json"
"""File in the data directory: with whom this peer has nothing to do for now."""

EARNINGS_NAME: Final = "earnings.db"
"""File in the data directory: what the tasks that this peer has run are paid."""

HISTORY_NAME: Final = "executors.json"
"""File in the data directory: how the executors of this peer's tasks did."""

MODULES_NAME: Final = "modules"
"""Directory in the data directory: the modules that this peer has compiled."""

TASKS_NAME: Final = "tasks"
"""Directory in the data directory: what proves the tasks that this peer asked for."""

TELEMETRY_SHUTDOWN_S: Final = 2.0
"""Longest wait for the last spans when a node ends, in seconds."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A node that can be used."""

    peers: PeerNode
    """Its peer."""

    ops_url: str | None
    """Where it tells how it is, if it does."""


async def run(config: NodeConfig, on_ready: Callable[[Ready], Awaitable[None]]) -> None:
    """Run one peer until cancelled.

    Args:
        config: Its settings.
        on_ready: Called once, when the peer listens and its control socket answers.

    Raises:
        ConfigError: The settings cannot be used on this machine; nothing is left
            running.
        StoreLockedError: Another node runs on ``data_dir``.
        PortInUseError: An address to listen on is taken.
    """
    with hold_data_dir(config.data_dir):
        identity = load_or_create(config.data_dir / IDENTITY_NAME)
        telemetry = init_tracer(_telemetry_config(config, identity))
        try:
            await _serve(config, identity, telemetry, on_ready)
        finally:
            telemetry.shutdown(TELEMETRY_SHUTDOWN_S)


async def _serve(
    config: NodeConfig,
    identity: Identity,
    telemetry: TelemetryHandle,
    on_ready: Callable[[Ready], Awaitable[None]],
) -> None:
    async with (
        _open_ops(config, telemetry) as (ops, ops_url),
        open_layers(config, identity, telemetry.provider) as layers,
    ):
        clock = SystemClock()
        ops.observe(lambda: take_vitals(config, layers, clock))
        async with trio.open_nursery() as nursery:
            tasks = TaskCommands(layers.requester, layers.archive, nursery, clock)
            layers.debts.paid_later = tasks.paid_later
            commands = Commands(
                config,
                layers.peers,
                layers.requester,
                known=PeerCommands(layers.peers, layers.bans),
                guilds=GuildCommands(layers.guilds, layers.peers.peer_id),
                tasks=tasks,
                channels=ChannelCommands(layers.payments.channels, telemetry.trace_url),
                telemetry=telemetry,
            )
            server = ControlServer(
                config.control_socket, commands.methods(), outlasting=OUTLASTING
            )
            await nursery.start(server.serve)
            await on_ready(Ready(layers.peers, ops_url))
            start_clean(nursery, layers.payments.reach_chain)
            start_clean(nursery, layers.debts.run)
            if layers.earnings is not None:
                start_clean(nursery, layers.earnings.run)
            await trio.sleep_forever()


@asynccontextmanager
async def _open_ops(
    config: NodeConfig, telemetry: TelemetryHandle
) -> AsyncIterator[tuple[Ops, str | None]]:
    """Tell how the node is from before it listens; the URL is None if it must not."""
    ops = Ops(telemetry, stuck_after_s=config.loop_stuck_after_s)
    address = config.ops_address
    if address is None:
        yield ops, None
        return
    # A web server, which a node that is not to be asked can do without.
    from zerostate.node.ops_server import serve_ops  # noqa: PLC0415  # see above

    with serve_ops(address, ops) as url:
        async with open_background() as nursery:
            nursery.start_soon(ops.beat)
            yield ops, url


@asynccontextmanager
async def open_layers(
    config: NodeConfig,
    identity: Identity,
    provider: TracerProvider,
    *,
    opener: HostOpener | None = None,
) -> AsyncIterator[Layers]:
    """Run one peer's layers as long as the block lasts.

    Args:
        config: Its settings; ``data_dir`` exists.
        identity: Its key.
        provider: Where its spans go.
        opener: The transport; None takes libp2p.

    Raises:
        ConfigError: The settings cannot be used on this machine.
        StoreCorruptError: What was kept of bans or earnings cannot be read.
    """
    clock = SystemClock()
    payment_tracer = PaymentTracer(provider)
    async with AsyncExitStack() as stack:
        peers = await stack.enter_async_context(
            open_peer_node(
                config.p2p_config,
                identity,
                tracer=P2PTracer(provider),
                clock=clock,
                opener=opener,
            )
        )
        bans = Bans(config.data_dir / BANS_NAME, peers.access, clock)
        # Before anything above listens to a peer.
        bans.restore()
        payments = await stack.enter_async_context(
            open_payments(
                config.payment_config,
                identity,
                peers,
                tracer=payment_tracer,
                clock=clock,
            )
        )
        channels = payments.channels
        guilds = await stack.enter_async_context(
            open_guilds(
                peers,
                config.guild_config,
                identity=identity,
                tracer=GuildTracer(provider),
                clock=clock,
            )
        )
        peers.relations.is_member = guilds.is_member_of_a_guild
        counts = [payments.stats]
        earnings: Earnings | None = None
        if EXECUTES in config.capabilities:
            tracer = ExecutionTracer(provider)
            execution = _execution_config(config)
            runner = await stack.enter_async_context(
                open_runner(execution, identity, tracer=tracer, clock=clock)
            )
            terms = _executor_terms(config, execution)
            earnings = await stack.enter_async_context(
                open_earnings(
                    config.data_dir / EARNINGS_NAME,
                    is_paid=channels.is_paid,
                    clock=clock,
                )
            )
            executor = Executor(peers, guilds, runner, terms=terms, earnings=earnings)
            counts.append(earnings.stats)
            channels.expects = earnings.of
            channels.expects_stream = executor.streams
        if WITNESSES in config.capabilities:
            Witness(peers, guilds, identity, clock)
        payments.begin()
        peers.discovery.advertise(config.capabilities)
        history = await stack.enter_async_context(
            open_history(config.data_dir / HISTORY_NAME)
        )
        archive = TaskArchive(config.data_dir / TASKS_NAME)
        task_payments = TaskPayments(
            channels, tracer=payment_tracer, deposit=Minor(config.channel_deposit)
        )
        debts = Debts(task_payments, archive, peers, clock)
        counts.append(debts.stats)
        requester = Requester(
            peers,
            guilds,
            identity,
            payments=task_payments,
            debts=debts,
            history=history,
            archive=archive,
            clock=clock,
            tracer=NodeTracer(provider),
        )
        yield Layers(
            peers,
            bans,
            guilds,
            requester,
            archive,
            payments,
            debts,
            earnings,
            tuple(counts),
        )


def _execution_config(config: NodeConfig) -> ExecutionConfig:
    return ExecutionConfig(
        workers=config.workers,
        compile_timeout_s=config.compile_timeout_s,
        max_task_wall_s=config.max_task_wall_s,
        max_task_memory_bytes=config.max_task_memory_bytes,
        capabilities=config.capabilities,
        requires_signed_manifest=True,
        cache_dir=config.data_dir / MODULES_NAME,
    )


def _executor_terms(config: NodeConfig, execution: ExecutionConfig) -> ExecutorTerms:
    price = None
    if config.price_base is not None and config.price_per_gigafuel is not None:
        price = Price(config.price_base, config.price_per_gigafuel)
    return ExecutorTerms(
        capabilities=config.capabilities,
        price=price,
        max_module_bytes=execution.max_module_bytes,
        max_input_bytes=execution.max_input_bytes,
        max_wall_s=execution.max_task_wall_s,
        max_memory_bytes=execution.max_task_memory_bytes,
        capacity=execution.workers + execution.max_waiting,
        max_unpaid_tasks=config.max_unpaid_tasks,
    )


def _telemetry_config(config: NodeConfig, identity: Identity) -> TelemetryConfig:
    return TelemetryConfig(
        service_name=config.service_name,
        service_version=zerostate.__version__,
        otlp_endpoint=config.otlp_endpoint,
        jaeger_ui=config.jaeger_ui,
        enabled=config.tracing,
        sampler=node_sampler(config.sampling_rate, config.background_sampling_rate),
        batch=BatchConfig(delay_s=config.export_delay_s),
        resource_attributes={
            "service.instance.id": identity.peer_id,
            "peer.id": identity.peer_id,
        },
    )
