"""Asking bidders to run a task until one accepts, and waiting for its result."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, final

import trio
from google.protobuf.message import DecodeError

from zerostate.clock import Clock
from zerostate.errors import (
    ExecutorBusyError,
    ManifestError,
    NoExecutorError,
    NotAMemberError,
    P2PError,
    PeerLostError,
    TaskDeadlineError,
    WireError,
    ZeroStateError,
)
from zerostate.evidence.identity import Identity
from zerostate.execution.signed_manifest import seal_manifest
from zerostate.guild import GuildService
from zerostate.ids import GuildId, PeerId, TaskId
from zerostate.node import messages_pb2 as pb
from zerostate.node.bidding import Bid, Choice, agreed
from zerostate.node.history import ExecutorHistory
from zerostate.node.outcomes import failure_of, is_silence
from zerostate.node.progress import Progress
from zerostate.node.report import TaskReport
from zerostate.node.submission import TaskFiles
from zerostate.node.tracing import TaskNotes
from zerostate.p2p import Message, PeerNode
from zerostate.units import NS_PER_S

MAX_ENGAGED: Final = 64
"""Tasks that a requester has under way at once; one more is refused."""

MAX_UNANSWERED: Final = 3
"""Bidders that one task's requester waits for in vain, one after the other: each costs
some four seconds."""

MAX_ASKING_S: Final = 12.0
"""After this, in seconds, no further bidder is asked to run a task: as long as
`MAX_UNANSWERED` take. Who declines at once costs next to nothing, and so nobody can use up
the places of those behind it."""

_logger: Final = logging.getLogger("zerostate.node")


@final
@dataclass(slots=True)
class Engagement:
    """A task that one executor was asked to run, and whose result has not come yet."""

    files: TaskFiles
    """At the terms that were agreed on."""

    manifest: bytes
    """The manifest as the executor is sent it, signed."""

    executor: PeerId

    is_accepted: bool = False
    answered: trio.Event = field(default_factory=trio.Event)
    """Set when the executor accepts or declines."""

    ended: trio.Event = field(default_factory=trio.Event)
    result: pb.TaskResult | None = None


@final
class Engagements:
    """The tasks that others run for one requester. Made once for a node."""

    def __init__(
        self,
        peers: PeerNode,
        guilds: GuildService,
        clock: Clock,
        history: ExecutorHistory,
        identity: Identity,
        *,
        continues: Callable[[Message], bool],
    ) -> None:
        self._peers = peers
        self._guilds = guilds
        self._clock = clock
        self._history = history
        self._identity = identity
        self._engaged: dict[TaskId, Engagement] = {}
        peers.handle("task_accept", self._on_accept, continues=continues)
        peers.handle("task_result", self._on_result, continues=continues)

    async def engage(
        self,
        guild_id: GuildId,
        files: TaskFiles,
        choice: Choice,
        *,
        report: TaskReport,
        notes: TaskNotes,
        progress: Progress,
    ) -> Engagement:
        """Ask bidders, the best first, until one has accepted. `release` it in the end.

        No further one is asked after `MAX_UNANSWERED` did not answer, or `MAX_ASKING_S`
        have passed. Each that does not accept is told in `progress` and `notes`; one that
        does not answer, or declines what it has bid for, goes into the history, too. Once
        the next one is asked, the one before can no longer accept.

        Raises:
            NoExecutorError: Too many tasks are under way, or all bids have expired.
            ZeroStateError: Why the last who was asked did not accept.
        """
        if len(self._engaged) >= MAX_ENGAGED:
            raise NoExecutorError(f"{MAX_ENGAGED} tasks are under way; wait")
        declined: ZeroStateError = NoExecutorError("all bids have expired")
        asked = unanswered = 0
        until_ns = self._clock.monotonic_ns() + round(MAX_ASKING_S * NS_PER_S)
        for bid in choice.ranked:
            now_ns = self._clock.monotonic_ns()
            if unanswered == MAX_UNANSWERED or (asked and now_ns >= until_ns):
                break
            if not bid.stands(now_ns):
                continue
            if asked:
                text = f"{report.executor} did not accept ({declined}); asking the next"
                await progress("task.declined", text)
            asked += 1
            report.executor = bid.executor
            notes.asked(asked)
            try:
                return await self._ask(guild_id, files, bid, report)
            except (
                P2PError,
                NotAMemberError,
                ExecutorBusyError,
                ManifestError,  # not within that one's limits
            ) as exc:
                declined = exc
                unanswered += is_silence(exc)
                self._note_declined(bid, report.task_id, exc)
                notes.declined(bid.executor, exc)
        raise declined

    def release(self, task_id: TaskId) -> None:
        """Expect nothing more for the task, from whomever it was asked."""
        self._engaged.pop(task_id, None)

    async def wait_for_result(
        self, engagement: Engagement, deadline_s: float
    ) -> pb.TaskResult:
        """Return the result as it came.

        Raises:
            PeerLostError: The executor went away.
            TaskDeadlineError: Time is up.
        """
        with trio.move_on_after(deadline_s):
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    await self._peers.wait_lost(engagement.executor)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                await engagement.ended.wait()
                nursery.cancel_scope.cancel()
            if engagement.result is None:
                raise PeerLostError(
                    f"executor {engagement.executor} went away during the task"
                )
        if engagement.result is None:
            raise TaskDeadlineError(f"no result within {deadline_s:.0f} s")
        return engagement.result

    async def _ask(
        self, guild_id: GuildId, files: TaskFiles, bid: Bid, report: TaskReport
    ) -> Engagement:
        at_its_price = replace(files, manifest=agreed(bid, files.manifest))
        manifest = seal_manifest(self._identity, at_its_price.manifest)
        engagement = Engagement(at_its_price, manifest, bid.executor)
        self._engaged[report.task_id] = engagement
        request = _request(guild_id, engagement, report)
        await self._guilds.send_message(
            guild_id,
            bid.executor,
            "task_request",
            request.SerializeToString(),
            confirmed=engagement.answered,
        )
        if not engagement.is_accepted and engagement.result is not None:
            raise failure_of(engagement.result)
        return engagement

    def _note_declined(
        self, bid: Bid, task_id: TaskId, failure: ZeroStateError
    ) -> None:
        _logger.warning("%s did not accept %s: %s", bid.executor, task_id, failure)
        if is_silence(failure):
            self._history.note(bid.executor, "lost")
        elif bid.is_for_the_task:
            self._history.note(bid.executor, "declined")

    async def _on_accept(self, message: Message) -> bytes:
        accept = _parse_accept(message)
        engagement = self._of(accept.task_id, message.author)
        engagement.is_accepted = True
        engagement.answered.set()
        files = engagement.files
        return pb.TaskInput(module=files.module, input=files.input).SerializeToString()

    async def _on_result(self, message: Message) -> bytes:
        result = _parse_result(message)
        engagement = self._of(result.task_id, message.author)
        is_duplicate = engagement.result is not None
        if not is_duplicate:
            engagement.result = result
            engagement.answered.set()
            engagement.ended.set()
        return pb.Ack(duplicate=is_duplicate).SerializeToString()

    def _of(self, task_id: str, author: PeerId) -> Engagement:
        engagement = self._engaged.get(TaskId(task_id))
        if engagement is None or engagement.executor != author:
            raise NotAMemberError(f"{author} does not execute {task_id[:80]!r}")
        return engagement


def _request(
    guild_id: GuildId, engagement: Engagement, report: TaskReport
) -> pb.TaskRequest:
    files = engagement.files
    return pb.TaskRequest(
        task_id=report.task_id,
        guild_id=guild_id,
        manifest=engagement.manifest,
        module_sha256=bytes.fromhex(files.manifest.module_sha256),
        input_sha256=files.input_sha256,
        module_bytes=len(files.module),
        input_bytes=len(files.input),
        trace_id=report.trace_id,
    )


def _parse_accept(message: Message) -> pb.TaskAccept:
    try:
        return pb.TaskAccept.FromString(message.body)
    except DecodeError as exc:
        raise WireError("not a TaskAccept message") from exc


def _parse_result(message: Message) -> pb.TaskResult:
    try:
        return pb.TaskResult.FromString(message.body)
    except DecodeError as exc:
        raise WireError("not a TaskResult message") from exc
