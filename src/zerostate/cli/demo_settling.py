"""The end of the demo's channel: closed by both, settled on the chain, claimed by both."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from zerostate.cli.network import Network
from zerostate.cli.progress import Progress
from zerostate.errors import ProcessError

SETTLE_TIMEOUT_S: Final = 30.0
"""How long closing and settling may take, in seconds. On the embedded chain it takes
about one: both ends are there, so nobody waits for the challenge window."""

CLAIM_TIMEOUT_S: Final = 10.0
"""How long the executor may take to see that and to claim its share, in seconds."""

_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Settled:
    """How the channel ended."""

    tx_hash: str
    """The transaction that settled it."""

    trace_ids: tuple[str, ...]
    """The traces of the settlement, of each end that has recorded one."""


async def settle(network: Network, channel_id: str, progress: Progress) -> Settled:
    """Have the requester close the channel, and wait until both ends have claimed.

    Raises:
        ControlError: The requester says why it cannot.
        ProcessError: It is not settled, or not claimed, within the limits.
    """
    params = {"channel_id": channel_id}
    closed = await network.requester.control.call(
        "channel_close", params, timeout_s=SETTLE_TIMEOUT_S
    )
    settlement = _settlement(closed)
    if settlement is None:
        raise ProcessError(f"the channel is {closed.get('phase')}, not settled")
    tx_hash = str(settlement.get("tx_hash"))
    progress.step(f"settled by {tx_hash} in block {settlement.get('block_number')}")
    claimed = await _claimed_by_executor(network, params)
    progress.step("requester and executor have claimed their shares")
    traces = dict.fromkeys(str(each.get("trace_id")) for each in (settlement, claimed))
    return Settled(tx_hash, tuple(trace for trace in traces if trace))


async def _claimed_by_executor(
    network: Network, params: Mapping[str, object]
) -> Mapping[str, object]:
    executor = network.executor.control
    try:
        async with asyncio.timeout(CLAIM_TIMEOUT_S):
            while True:
                seen = await executor.call(
                    "channel_show", params, timeout_s=CLAIM_TIMEOUT_S
                )
                settlement = _settlement(seen)
                if settlement is not None:
                    return settlement
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise ProcessError(
            f"the executor did not claim its share within {CLAIM_TIMEOUT_S:g} s"
        ) from None


def _settlement(channel: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return how a channel ended; None while it has not."""
    settlement = channel.get("settlement")
    is_settled = channel.get("phase") == "settled" and isinstance(settlement, dict)
    return settlement if is_settled and isinstance(settlement, dict) else None
