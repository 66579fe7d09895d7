"""Asks a chain how a payment channel ended."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zerostate.cli.settlement import ChainAnswer
from zerostate.errors import InvalidQueryError
from zerostate.evidence.channel import ChannelTerms
from zerostate.evidence.ethereum import ZERO_ADDRESS, EthKey
from zerostate.ids import ChannelId

if TYPE_CHECKING:
    from zerostate.payment.chain import Chain, TxHash, TxReceipt

# Nothing heavy is imported above: web3 takes seconds, and only who asks a chain waits.
# ruff: noqa: PLC0415

MAX_PAGES: Final = 64
"""Pages of the contract's events that are looked through for the transaction that
settled a channel. A page is 1,000 blocks, so a young chain is read whole; on an old one
the channel itself still tells that, and how, it was settled."""


def ask_chain(url: str, terms: ChannelTerms, tx_hashes: tuple[str, ...]) -> ChainAnswer:
    """Return what the chain of `url` says of the channel, at its newest block.

    Nothing is sent but questions: the account that asks is made for it and has nothing.

    Args:
        url: JSON-RPC endpoint of a node of the channel's chain.
        terms: The channel's, as both parties signed them.
        tx_hashes: What is claimed to have settled it.

    Raises:
        ConfigError: `url` is no http or https address.
        InvalidQueryError: The channel is on no chain, or on another one.
        ChainError: The node does not answer, or there is no contract of ours.
    """
    import trio

    if terms.contract == ZERO_ADDRESS:
        raise InvalidQueryError(
            "--chain: this channel is a promise without a contract; no chain knows it"
        )

    async def ask() -> ChainAnswer:
        from zerostate.payment.chain import ChainConfig
        from zerostate.payment.chains import open_chain

        with tempfile.TemporaryDirectory(prefix="zerostate-verify-") as folder:
            config = ChainConfig(data_dir=Path(folder), url=url, confirmations=1)
            async with open_chain(config, EthKey.generate()) as chain:
                if chain.chain_id != terms.chain_id:
                    raise InvalidQueryError(
                        f"--chain: the node is on chain {chain.chain_id}; the channel "
                        f"is on {terms.chain_id}"
                    )
                await chain.use_contract(terms.contract)
                return await _answer(chain, terms.channel_id, tx_hashes)

    return trio.run(ask)


async def _answer(
    chain: "Chain", channel_id: ChannelId, tx_hashes: tuple[str, ...]
) -> ChainAnswer:
    channel = await chain.channel(channel_id)
    receipt = await _receipt(chain, tx_hashes)
    return ChainAnswer(
        status=channel.status.name.lower(),
        payer=channel.payer,
        payee=channel.payee,
        deposit=channel.deposit_payer,
        nonce=channel.nonce,
        net=channel.net,
        has_transaction=None
        if not tx_hashes
        else receipt is not None and receipt.succeeded,
        block_number=None if receipt is None else receipt.block.number,
        settling_tx=await _settling_transaction(chain, channel_id),
    )


async def _receipt(chain: "Chain", tx_hashes: tuple[str, ...]) -> "TxReceipt | None":
    from zerostate.payment.chain import TxHash

    # Of more than one the verdict is clear already, whatever the chain says.
    return await chain.receipt(TxHash(tx_hashes[0])) if len(tx_hashes) == 1 else None


async def _settling_transaction(
    chain: "Chain", channel_id: ChannelId
) -> "TxHash | None":
    from zerostate.payment.chain import Settled

    since = None
    for _page in range(MAX_PAGES):
        page = await chain.events(since)
        for event in page.events:
            if isinstance(event.fact, Settled) and event.fact.channel_id == channel_id:
                return event.tx_hash
        if page.until == since:
            return None
        since = page.until
    return None
