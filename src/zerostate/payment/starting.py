"""Opening this peer's channels."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import trio

from zerostate.clock import Clock
from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import EthKey, check_backend
from zerostate.evidence.identity import Identity
from zerostate.payment.chain import Chain
from zerostate.payment.channels import ChannelManager
from zerostate.payment.config import STORE_FILE, PaymentConfig
from zerostate.payment.deferred import defer_chain
from zerostate.payment.keys import key_of
from zerostate.payment.ledger import Ledger
from zerostate.payment.means import Means
from zerostate.payment.model import Counterparty
from zerostate.payment.onchain import OnChain
from zerostate.payment.party import Party
from zerostate.payment.passphrase import Passphrase
from zerostate.payment.store import PaymentStore
from zerostate.payment.tracing import PaymentTracer


@asynccontextmanager
async def open_channels(
    config: PaymentConfig,
    identity: Identity,
    *,
    tracer: PaymentTracer,
    clock: Clock,
    counterparty: Counterparty,
    chain: Chain | None = None,
) -> AsyncIterator[ChannelManager]:
    """Open this peer's channels for as long as the block lasts.

    Makes the data directory, the key and the store when they are missing.

    Args:
        config: Where, and on which terms.
        identity: This peer's.
        tracer: Opens the spans.
        clock: Our own.
        counterparty: The way to other peers.
        chain: The chain, for the account of this peer's payment key. None: it is
            reached as ``config.chain`` says, if that is set, when it is first needed.

    Raises:
        ConfigError: The directory or the key cannot be used (`key_of`), or the store is
            of a newer version.
        StoreLockedError: Another process has the store open.
        StoreError: The store cannot be opened.
        InternalError: The signing library does not work as it must.
    """
    check_backend()
    key = await trio.to_thread.run_sync(_prepare, config)
    async with AsyncExitStack() as stack:
        if chain is None and config.chain is not None:
            deferred = defer_chain(config.chain, key, chain_id=config.chain_id)
            chain = await stack.enter_async_context(deferred)
        if chain is not None:
            config = replace(config, chain_id=chain.chain_id, contract=chain.contract)
        party = Party.of(identity, key, config=config, tracer=tracer)
        store = await PaymentStore.open(config.data_dir / STORE_FILE)
        stack.push_async_callback(store.close)
        onchain = None if chain is None else OnChain(chain, tracer)
        ledger = Ledger(store, clock)
        yield ChannelManager(Means(party, ledger, counterparty, clock, onchain))


def _prepare(config: PaymentConfig) -> EthKey:
    try:
        config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{config.data_dir}: {exc.strerror}") from exc
    return key_of(config.data_dir, Passphrase.find(config.passphrase_file))
