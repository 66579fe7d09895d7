"""A watchtower as a service: its parts put together."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Final

import trio

import zerostate
from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import EthAddress, EthKey, check_backend
from zerostate.payment.chain import Chain
from zerostate.payment.chains import open_chain
from zerostate.payment.keys import key_of
from zerostate.payment.passphrase import Passphrase
from zerostate.payment.tracing import PaymentTracer
from zerostate.payment.watchtower.config import WatchtowerConfig
from zerostate.payment.watchtower.intake import Intake
from zerostate.payment.watchtower.server import TowerServer
from zerostate.payment.watchtower.store import TowerStore
from zerostate.payment.watchtower.watching import Watcher
from zerostate.telemetry.config import TelemetryConfig
from zerostate.telemetry.tracer import init_tracer

STORE_FILE: Final = "watchtower.db"
"""Name of the tower's store in the data directory."""

TELEMETRY_SHUTDOWN_S: Final = 2.0
"""Longest wait for the last spans when the tower ends, in seconds."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A tower that can be used."""

    url: str
    """Where owners hand in their states."""

    address: EthAddress
    """What its answers are paid from: it needs money for gas."""

    channels: int
    """Channels that it watches already."""


async def run(
    config: WatchtowerConfig, on_ready: Callable[[Ready], Awaitable[None]]
) -> None:
    """Run a watchtower until cancelled.

    Args:
        config: Its settings.
        on_ready: Called once, when it watches and states can be handed in.

    Raises:
        ConfigError: The settings cannot be used, or the store is of a newer version.
        StoreLockedError: Another tower runs on ``data_dir``.
        PortInUseError: The port is taken.
        ChainError: The chain does not answer, or has no such contract.
    """
    telemetry = init_tracer(
        TelemetryConfig(
            service_name=config.service_name,
            service_version=zerostate.__version__,
            otlp_endpoint=config.otlp_endpoint,
            enabled=config.tracing,
        )
    )
    try:
        check_backend()
        key = await trio.to_thread.run_sync(_prepare, config)
        async with open_chain(config.chain_config, key) as chain:
            if chain.chain_id != config.chain_id:
                raise ConfigError(
                    f"chain.chain_id: the node's chain is {chain.chain_id}, not "
                    f"{config.chain_id}"
                )
            tracer = PaymentTracer(telemetry.provider)
            async with open_tower(config, chain, tracer) as ready:
                await on_ready(ready)
                await trio.sleep_forever()
    finally:
        telemetry.shutdown(TELEMETRY_SHUTDOWN_S)


@asynccontextmanager
async def open_tower(
    config: WatchtowerConfig, chain: Chain, tracer: PaymentTracer
) -> AsyncIterator[Ready]:
    """Watch `chain` and take states in for as long as the block lasts.

    Raises:
        ConfigError: The store is of a newer version, or the address is none of this
            machine's.
        StoreLockedError: Another tower runs on ``data_dir``.
        PortInUseError: The port is taken.
    """
    store = await TowerStore.open(config.data_dir / STORE_FILE)
    try:
        watcher = Watcher(chain, store, tracer, poll_s=config.poll_s)
        intake = Intake(chain, store, config, watcher.look_at)
        server = TowerServer(*config.address, intake, lambda: _status(intake, watcher))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            thread = threading.Thread(
                target=server.serve_forever, args=(0.1,), daemon=True
            )
            thread.start()
            try:
                yield Ready(server.url, chain.address, await store.count())
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(server.shutdown)
                server.server_close()
                nursery.cancel_scope.cancel()
    finally:
        await store.close()


def _status(intake: Intake, watcher: Watcher) -> dict[str, object]:
    return {
        "kept": intake.kept,
        "refused": {reason.value: count for reason, count in intake.refused.items()},
        **asdict(watcher.counts),
    }


def _prepare(config: WatchtowerConfig) -> EthKey:
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"data_dir: {config.data_dir}: {exc.strerror}") from exc
    return key_of(config.data_dir, Passphrase.find(config.passphrase_file))
