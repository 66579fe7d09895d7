"""What may be asked of a running node about its channels, on its control socket."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final, final

import trio

from zerostate.errors import InvalidQueryError
from zerostate.evidence.channel_update import MAX_AMOUNT
from zerostate.ids import ChannelId, parse_channel_id
from zerostate.node.control import Method, Params
from zerostate.node.params import flag, text, whole_number
from zerostate.node.progress import Progress
from zerostate.p2p.tasks import open_background, start_clean
from zerostate.payment import ChannelManager
from zerostate.payment.chain import TxReceipt
from zerostate.payment.model import ChannelView
from zerostate.units import Minor

LOOK_S: Final = 0.5
"""Between two looks at a channel that is being closed, in seconds."""


@final
class ChannelCommands:
    """The control methods for one node's channels."""

    def __init__(
        self, channels: ChannelManager, trace_url: Callable[[str], str | None]
    ) -> None:
        """Tell of `channels`, and where a trace can be seen by `trace_url`."""
        self._channels: Final = channels
        self._trace_url: Final = trace_url

    def methods(self) -> dict[str, Method]:
        """Return each method by its name."""
        return {
            "channel_list": self.list,
            "channel_show": self.show,
            "channel_close": self.close,
            "channel_dispute": self.dispute,
            "channel_withdraw": self.withdraw,
        }

    async def list(self, _params: Params, _progress: Progress) -> Mapping[str, object]:
        """Tell all channels, oldest first; see `ChannelView`."""
        views = await self._channels.views()
        return {"channels": [self._told(view) for view in views]}

    async def show(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """Tell one channel."""
        return self._told(await self._channels.view(_channel_id(params)))

    async def close(self, params: Params, progress: Progress) -> Mapping[str, object]:
        """End a channel and tell it; each step is told when it is seen.

        With both signatures if the other end gives its own; else, or with ``force``,
        alone: then ``wait`` says whether the window is waited for. Without it the
        channel is left disputed, and the node settles it when the window is over.
        """
        channel_id = _channel_id(params)
        force, wait = flag(params, "force"), flag(params, "wait")
        before = await self._channels.view(channel_id)
        failures: list[Exception] = []
        ended = trio.Event()

        async def close() -> None:
            try:
                await self._channels.close(channel_id, force=force, wait=wait)
            except Exception as exc:  # noqa: BLE001  # raised again below
                failures.append(exc)
            ended.set()

        async with open_background() as nursery:
            start_clean(nursery, close)
            # In this task, so that no line that is being written is ever cut off.
            await self._tell_steps(before, progress, ended)
        if failures:
            raise failures[0]
        return self._told(await self._channels.view(channel_id))

    async def dispute(
        self, params: Params, _progress: Progress
    ) -> Mapping[str, object]:
        """Answer a close by an older state with our newest; ``tx`` is None if none is."""
        receipt = await self._channels.dispute(_channel_id(params))
        return {"tx": None if receipt is None else _transaction(receipt)}

    async def withdraw(
        self, params: Params, _progress: Progress
    ) -> Mapping[str, object]:
        """Pay out ``to_payer`` and ``to_payee`` of an open channel, which stays open."""
        parts = {
            name: Minor(whole_number(params, name, 0, MAX_AMOUNT, minimum=0))
            for name in ("to_payer", "to_payee")
        }
        if not any(parts.values()):
            raise InvalidQueryError("to_payer, to_payee: nothing is to be paid out")
        receipt = await self._channels.withdraw(_channel_id(params), **parts)
        return {"tx": _transaction(receipt)}

    async def _tell_steps(
        self, before: ChannelView, progress: Progress, ended: trio.Event
    ) -> None:
        over = False
        while not over:
            # Looked at once more when it is over: what came last is told, too.
            over = ended.is_set()
            now = await self._channels.view(before.channel_id)
            if now.phase != before.phase:
                await progress("channel.phase", f"the channel is {now.phase}")
            if now.tx_hash != before.tx_hash and now.tx_hash:
                await progress("channel.transaction", f"transaction {now.tx_hash}")
            before = now
            with trio.move_on_after(LOOK_S):
                await ended.wait()

    def _told(self, view: ChannelView) -> Mapping[str, object]:
        told = asdict(view)
        if view.settlement is not None:
            trace_id = view.settlement.trace_id
            told["settlement"]["trace_url"] = (
                self._trace_url(trace_id) if trace_id else None
            )
        return told


def _channel_id(params: Params) -> ChannelId:
    try:
        return parse_channel_id(text(params, "channel_id"))
    except ValueError as exc:
        raise InvalidQueryError(f"channel_id: {exc}") from exc


def _transaction(receipt: TxReceipt) -> Mapping[str, object]:
    return {
        "tx_hash": receipt.tx_hash,
        "block_number": receipt.block.number,
        "gas_used": receipt.gas_used,
        "fee_wei": receipt.fee_wei,
    }
