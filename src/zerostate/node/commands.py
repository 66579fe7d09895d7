"""What may be asked of a running node on its control socket."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

import trio

from zerostate.errors import InvalidQueryError
from zerostate.node.config import NodeConfig
from zerostate.node.control import CommandError, Method, Params
from zerostate.node.progress import Progress
from zerostate.node.submission import TaskSubmission
from zerostate.node.task import Requester
from zerostate.p2p import PeerNode
from zerostate.telemetry import TelemetryHandle

MAX_FLUSH_S: Final = 30.0
"""Longest flush that a caller may ask for, in seconds."""

MAX_DEADLINE_S: Final = 3600.0
"""Longest task that a caller may wait for, in seconds."""

MAX_GUILD_MEMBERS: Final = 49
"""Most members that a task's guild may wait for."""


@final
class Commands:
    """The control methods of one node."""

    def __init__(
        self,
        config: NodeConfig,
        peers: PeerNode,
        requester: Requester,
        telemetry: TelemetryHandle,
    ) -> None:
        self._config = config
        self._peers = peers
        self._requester = requester
        self._telemetry = telemetry

    def methods(self) -> dict[str, Method]:
        """Return each method by its name."""
        return {
            "info": self.info,
            "connect": self.connect,
            "submit": self.submit,
            "flush": self.flush,
            "stats": self.stats,
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
        address = _text(params, "address")
        try:
            return {"peer_id": await self._peers.connect(address)}
        except ValueError as exc:
            raise InvalidQueryError(f"address: {exc}") from exc

    async def submit(self, params: Params, progress: Progress) -> Mapping[str, object]:
        """Run a task; see `zerostate.node.task`."""
        report = await self._requester.run(_submission(params), progress)
        result = report.as_json()
        if report.error_code is not None:
            raise CommandError(report.error_code, report.error_message, result)
        return result

    async def flush(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """Export the spans that have ended."""
        timeout_s = _number(params, "timeout_s", 5.0, MAX_FLUSH_S)
        flushed = await trio.to_thread.run_sync(self._telemetry.force_flush, timeout_s)
        return {"flushed": flushed}

    async def stats(self, _params: Params, _progress: Progress) -> Mapping[str, object]:
        """Tell the node's counters."""
        return dict(self._peers.stats())


def _submission(params: Params) -> TaskSubmission:
    manifest = params.get("manifest") or {}
    if not isinstance(manifest, dict):
        raise InvalidQueryError("manifest: not a JSON object")
    members = params.get("members", 1)
    if not isinstance(members, int) or not 1 <= members <= MAX_GUILD_MEMBERS:
        raise InvalidQueryError(
            f"members: {members!r} is not an integer from 1 to {MAX_GUILD_MEMBERS}"
        )
    has_output = params.get("output_path") is not None
    return TaskSubmission(
        module_path=Path(_text(params, "module_path")),
        input_path=Path(_text(params, "input_path")),
        manifest=manifest,
        members=members,
        deadline_s=_number(params, "deadline_s", 60.0, MAX_DEADLINE_S),
        output_path=Path(_text(params, "output_path")) if has_output else None,
    )


def _text(params: Params, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidQueryError(f"{name}: missing, or not a text")
    return value


def _number(params: Params, name: str, default: float, maximum: float) -> float:
    value = params.get(name, default)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidQueryError(f"{name}: {value!r} is not a number")
    if not 0 < value <= maximum:
        raise InvalidQueryError(f"{name}: {value} is not above 0 and up to {maximum}")
    return float(value)
