"""The order that a node gives to itself."""

import hashlib
import json
from typing import Final

from zerostate.evidence.identity import Identity
from zerostate.execution.order import TaskOrder
from zerostate.execution.signed_manifest import seal_document
from zerostate.ids import GuildId, TaskId, TraceIdHex

NAME: Final = "own"
"""Name that the manifest has, for people and traces."""

_FREE_OF_CHARGE: Final = {"base": 0, "per_gigafuel": 0, "max_total": 0}


def own_order(
    identity: Identity,
    task_id: TaskId,
    guild_id: GuildId,
    module: bytes,
    entry_point: str,
    *,
    task_input: bytes,
    trace_id: TraceIdHex,
) -> TaskOrder:
    """Return an order of `identity` to itself, with limits as they are by default.

    Nothing is checked here: a wrong `entry_point` is a problem of the manifest.
    """
    document = {
        "name": NAME,
        "version": "1",
        "module_sha256": hashlib.sha256(module).hexdigest(),
        "entry_point": entry_point,
        "price": _FREE_OF_CHARGE,
    }
    return TaskOrder(
        task_id=task_id,
        guild_id=guild_id,
        requester=identity.peer_id,
        manifest=seal_document(identity, json.dumps(document).encode()),
        module=module,
        input=task_input,
        trace_id=trace_id,
    )
