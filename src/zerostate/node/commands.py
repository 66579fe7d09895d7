"""What may be asked of a running node on its control socket."""

import os
from collections.abc import Mapping
from typing import Final, final

import trio

from zerostate.errors import InvalidQueryError
from zerostate.node.channel_commands import ChannelCommands
from zerostate.node.config import NodeConfig
from zerostate.node.control import CommandError, Method, Params
from zerostate.node.guild_commands import GuildCommands
from zerostate.node.params import number, text
from zerostate.node.peer_commands import PeerCommands
from zerostate.node.progress import Progress
from zerostate.node.task import Requester
from zerostate.node.task_commands import TaskCommands, submission_of
from zerostate.p2p import PeerNode
from zerostate.telemetry import TelemetryHandle

MAX_FLUSH_S: Final = 30.0
"""Longest flush that a caller may ask for, in seconds."""

OUTLASTING: Final = frozenset(
    {
        "submit",
        "peer_ban",
        "peer_unban",
        "guild_leave",
        "channel_close",
        "channel_dispute",
        "channel_withdraw",
    }
)
"""Methods that go on when their caller is gone: an executor that works is to be paid, a
guild's other members are to hear who has left it, what holds of bans is to be kept, and
what was signed or sent to a chain cannot be taken back."""


@final
class Commands:
    """The control methods of one node."""

    def __init__(
        self,
        config: NodeConfig,
        peers: PeerNode,
        requester: Requester,
        *,
        known: PeerCommands,
        guilds: GuildCommands,
        tasks: TaskCommands,
        channels: ChannelCommands,
        telemetry: TelemetryHandle,
    ) -> None:
        self._config = config
        self._peers = peers
        self._requester = requester
        self._known = known
        self._guilds = guilds
        self._tasks = tasks
        self._channels = channels
        self._telemetry = telemetry

    def methods(self) -> dict[str, Method]:
        """Return each method by its name."""
        return {
            "info": self.info,
            "connect": self.connect,
            "submit": self.submit,
            "flush": self.flush,
            "stats": self.stats,
            **self._known.methods(),
            **self._guilds.methods(),
            **self._tasks.methods(),
            **self._channels.methods(),
        }

    async def info(self, _params: Params, _progress: Progress) -> Mapping[str, object]:
        """Tell who this node is."""
        return {
            "peer_id": self._peers.peer_id,
            "addresses": list(self._peers.addresses),
            "service_name": self._config.service_name,
            "pid": os.getpid(),
        }

    async def connect(
        self, params: Params, _progress: Progress
    ) -> Mapping[str, object]:
        """Connect to the peer at ``address``."""
        address = text(params, "address")
        try:
            return {"peer_id": await self._peers.connect(address)}
        except ValueError as exc:
            raise InvalidQueryError(f"address: {exc}") from exc

    async def submit(self, params: Params, progress: Progress) -> Mapping[str, object]:
        """Run a task; see `zerostate.node.task`."""
        report = await self._requester.run(submission_of(params), progress)
        result = report.as_json()
        if report.error_code is not None:
            raise CommandError(report.error_code, report.error_message, result)
        return result

    async def flush(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """Export the spans that have ended."""
        timeout_s = number(params, "timeout_s", 5.0, MAX_FLUSH_S)
        flushed = await trio.to_thread.run_sync(self._telemetry.force_flush, timeout_s)
        return {"flushed": flushed}

    async def stats(self, _params: Params, _progress: Progress) -> Mapping[str, object]:
        """Tell the node's counters."""
        return {**self._peers.stats(), **self._tasks.stats()}
