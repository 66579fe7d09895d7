"""A requester, an executor and a member in one process: real layers, network in memory."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from opentelemetry.sdk.trace import ReadableSpan

from zerostate.evidence.identity import Identity
from zerostate.node.app import Layers, open_layers
from zerostate.node.config import NodeConfig
from zerostate.node.submission import TaskSubmission
from zerostate.node.task import TaskReport
from zerostate.testing import SpanRecorder
from zerostate.testing.network import MemoryNetwork

ROLES = {"requester": (), "executor": ("wasm",), "member": ("witness",)}
IDENTITIES = {name: Identity.generate() for name in ROLES}
KNOWN = tuple(identity.peer_id for identity in IDENTITIES.values())
TASKS = Path(__file__).parent.parent / "examples" / "tasks"


class World:
    """Three peers, what they recorded, and the one call that runs a task."""

    def __init__(self, directory: Path, settings: dict[str, dict[str, Any]]) -> None:
        self.directory = directory
        self.settings = settings
        self.network = MemoryNetwork()
        self.recorders = {name: SpanRecorder() for name in ROLES}
        self.layers: dict[str, Layers] = {}
        self.stages: list[str] = []

    def config(self, name: str) -> NodeConfig:
        data_dir = self.directory / name
        data_dir.mkdir()
        return NodeConfig(
            **{
                "service_name": name,
                "data_dir": data_dir,
                "known": KNOWN,
                "capabilities": ROLES[name],
                **self.settings.get(name, {}),
            }
        )

    async def progress(self, stage: str, text: str, data: object = None) -> None:
        self.stages.append(stage)

    async def run(
        self, module: bytes, *, task_input: bytes = b"hello", **fields: Any
    ) -> TaskReport:
        module_path, input_path = self.directory / "module", self.directory / "input"
        module_path.write_bytes(module)
        input_path.write_bytes(task_input)
        submission = TaskSubmission(
            **{
                "module_path": module_path,
                "input_path": input_path,
                "manifest": {},
                "members": 2,
                "deadline_s": 20,
                **fields,
            }
        )
        with trio.fail_after(30):
            return await self.layers["requester"].requester.run(
                submission, self.progress
            )

    def all_spans(self) -> list[ReadableSpan]:
        return [span for one in self.recorders.values() for span in one.spans]

    def spans(self, trace_id: str) -> list[ReadableSpan]:
        return [
            span
            for span in self.all_spans()
            if f"{span.context.trace_id:032x}" == trace_id
        ]

    def failed(self, trace_id: str) -> dict[str, str]:
        return {
            span.name: span.attributes["error.type"]
            for span in self.spans(trace_id)
            if "error.type" in span.attributes
        }


@asynccontextmanager
async def open_world(
    directory: Path, **settings: dict[str, Any]
) -> AsyncIterator[World]:
    """Run the three peers, connected with each other.

    Args:
        directory: For what they keep; empty.
        settings: More of `NodeConfig` for the peers named so.
    """
    world = World(directory, settings)
    async with AsyncExitStack() as stack:
        for name, identity in IDENTITIES.items():
            world.layers[name] = await stack.enter_async_context(
                open_layers(
                    world.config(name),
                    identity,
                    world.recorders[name].provider,
                    opener=world.network.opener(identity),
                )
            )
        peers = {name: layers.peers for name, layers in world.layers.items()}
        await peers["requester"].connect(peers["executor"].addresses[0])
        await peers["requester"].connect(peers["member"].addresses[0])
        await peers["executor"].connect(peers["member"].addresses[0])
        yield world
