"""What a runner is asked for, and what it hands back."""

from dataclasses import dataclass

from zerostate.execution.usage import Usage
from zerostate.ids import GuildId, PeerId, TaskId, TraceIdHex
from zerostate.units import Minor


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOrder:
    """One task, as asked for."""

    task_id: TaskId
    guild_id: GuildId
    requester: PeerId

    manifest: bytes
    """As received: the receipt names the hash of these bytes. An envelope signed by
    `requester`, or the JSON document itself where the node lets that pass."""

    module: bytes
    """The WebAssembly module; never a compiled artefact, which is native code."""

    input: bytes
    """What the module reads from standard input, or is called with."""

    trace_id: TraceIdHex
    """The trace that the receipt will name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExecution:
    """A task that ended well."""

    output: bytes
    usage: Usage
    receipt: bytes
    """Sealed; see `zerostate.evidence.receipt`."""

    price: Minor
