"""What may be asked of a running node about its tasks, on its control socket.

Tasks submitted here belong to the node: they go on when the caller goes away.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final, final

import trio

from zerostate.clock import Clock
from zerostate.errors import (
    InternalError,
    InvalidQueryError,
    NoExecutorError,
    StoreError,
    TaskDeadlineError,
    TaskNotFoundError,
)
from zerostate.ids import TaskId, new_task_id, parse_task_id
from zerostate.node.archive import RECORD_NAME, TaskArchive
from zerostate.node.control import CommandError, Method, Params
from zerostate.node.params import number, text, whole_number
from zerostate.node.progress import Progress
from zerostate.node.report import PaymentReport, TaskReport
from zerostate.node.submission import TaskSubmission
from zerostate.node.task import Requester
from zerostate.node.task_record import Stage, TaskRecord
from zerostate.p2p.tasks import start_clean

MAX_DEADLINE_S: Final = 3600.0
"""Longest task that a caller may wait for, in seconds."""

MAX_TASK_MEMBERS: Final = 49
"""Most members that a task's guild may wait for."""

MAX_UNDER_WAY: Final = 64
"""Tasks that go on at once in the background; one more is refused."""

MAX_REMEMBERED: Final = 1_000
"""Tasks that are told from memory, a few KB each; the oldest that has ended goes first,
and is told from the archive."""

_logger: Final = logging.getLogger("zerostate.node")


@final
class TaskCommands:
    """The control methods for one node's tasks."""

    def __init__(
        self,
        requester: Requester,
        archive: TaskArchive,
        nursery: trio.Nursery,
        clock: Clock,
        *,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        """Tasks run in `nursery`, and end with it; `archive` keeps what came of them."""
        self._archive = archive
        self._max_remembered = max_remembered
        self._requester = requester
        self._nursery = nursery
        self._clock = clock
        self._tasks: OrderedDict[TaskId, TaskRecord] = OrderedDict()
        self._crashed = 0

    def methods(self) -> dict[str, Method]:
        """Return each method by its name."""
        return {
            "task_submit": self.submit,
            "task_status": self.status,
            "task_result": self.result,
        }

    def stats(self) -> dict[str, int]:
        """Return how many tasks go on, and how many a bug of ours has ended."""
        return {"tasks.under_way": self._under_way(), "tasks.crashed": self._crashed}

    async def submit(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """Begin a task and return its id at once; see `submission_of`."""
        submission = submission_of(params)
        if self._under_way() >= MAX_UNDER_WAY:
            raise NoExecutorError(f"{MAX_UNDER_WAY} tasks are under way; wait")
        report = TaskReport(new_task_id())
        task = self._tasks[report.task_id] = TaskRecord()
        self._forget_the_oldest()
        start_clean(self._nursery, self._run, submission, report, task)
        return {"task_id": report.task_id}

    async def status(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """Tell how far a task is: ``running``, ``done`` or ``failed``."""
        task_id, task = await self._find(params)
        error = None
        if task.error is not None:
            error = {"code": task.error[0], "message": task.error[1]}
        return {
            "task_id": task_id,
            "state": task.state,
            "stages": [
                {
                    "stage": one.stage,
                    "text": one.text,
                    "at_unix_ns": one.at_unix_ns,
                }
                for one in task.stages
            ],
            "error": error,
        }

    async def result(self, params: Params, progress: Progress) -> Mapping[str, object]:
        """Wait at most ``wait_s`` for a task's end, telling its stages; tell its report.

        Each stage comes with its ``at_unix_ns``. A failed task's report comes with the error.
        """
        task_id, task = await self._find(params)
        wait_s = number(params, "wait_s", 60.0, MAX_DEADLINE_S)
        with trio.move_on_after(wait_s):
            await _follow(task, progress)
        if task.result is None:
            raise TaskDeadlineError(
                f"{task_id} has not ended within {wait_s:g} s; it goes on"
            )
        if task.error is not None:
            raise CommandError(*task.error, task.result)
        return task.result

    async def paid_later(self, task_id: TaskId, payment: PaymentReport) -> None:
        """Note that a task was paid after its end; it is done now, if it went well."""
        try:
            task = self._tasks.get(task_id) or await self._archived(task_id)
        except TaskNotFoundError as exc:
            _logger.warning("%s; it is paid now", exc)
            return
        if task is None or task.result is None:
            return  # it was cut short by a crash: there is a receipt, and no report
        text = f"paid {payment.amount}"
        task.reach(Stage("payment.done", text, None, self._clock.wall_ns()))
        result = {**task.result, "payment": asdict(payment)}
        match result:
            case {"task": {"outcome": "ok"}}:
                error = None
            case _:
                error = task.error
        data = task.as_bytes(result, error)
        await self._archive.add(task_id, RECORD_NAME, data)
        task.end(result, error)

    async def _run(
        self, submission: TaskSubmission, report: TaskReport, task: TaskRecord
    ) -> None:
        async def progress(
            stage: str, text: str, data: Mapping[str, object] | None = None, /
        ) -> None:
            task.reach(Stage(stage, text, data, self._clock.wall_ns()))

        try:
            await self._requester.run(submission, progress, report)
        except Exception as exc:  # top of a task: the node stays up
            _logger.exception("%s was ended by a bug", report.task_id)
            self._crashed += 1
            report.error_code, report.error_message = InternalError.code, str(exc)
        result, error = report.as_json(), None
        if report.error_code is not None:
            error = (report.error_code, report.error_message)
        # First to the disk: what was told once is told again after a restart.
        data = task.as_bytes(result, error)
        await self._archive.add(report.task_id, RECORD_NAME, data)
        task.end(result, error)

    async def _find(self, params: Params) -> tuple[TaskId, TaskRecord]:
        try:
            task_id = parse_task_id(text(params, "task_id"))
        except ValueError as exc:
            raise InvalidQueryError(f"task_id: {exc}") from exc
        task = self._tasks.get(task_id) or await self._archived(task_id)
        if task is None:
            raise TaskNotFoundError(f"no task {task_id} was submitted here of late")
        return task_id, task

    async def _archived(self, task_id: TaskId) -> TaskRecord | None:
        try:
            data = await self._archive.read(task_id, RECORD_NAME)
            return None if data is None else TaskRecord.from_bytes(data)
        except StoreError as exc:
            raise TaskNotFoundError(f"what was kept of {task_id}: {exc}") from exc

    def _under_way(self) -> int:
        return sum(task.result is None for task in self._tasks.values())

    def _forget_the_oldest(self) -> None:
        ended = [one for one, task in self._tasks.items() if task.result is not None]
        for task_id in ended[: max(0, len(self._tasks) - self._max_remembered)]:
            del self._tasks[task_id]


async def _follow(task: TaskRecord, progress: Progress) -> None:
    """Tell a task's stages, also those that are over, until it has ended."""
    told = 0
    while True:
        changed = task.changed
        while told < len(task.stages):
            one = task.stages[told]
            # Whoever asks later is told the stages all at once.
            data = {**(one.data or {}), "at_unix_ns": one.at_unix_ns}
            await progress(one.stage, one.text, data)
            told += 1
        if task.result is not None:
            return
        await changed.wait()


def submission_of(params: Params) -> TaskSubmission:
    """Return the task that a request describes.

    ``module_path`` and ``input_path``; if given, ``manifest``: fields of it to set;
    ``members`` that its guild waits for; ``deadline_s``; ``output_path``.

    Raises:
        InvalidQueryError: Something is missing, or not as it should be.
    """
    manifest = params.get("manifest") or {}
    if not isinstance(manifest, dict):
        raise InvalidQueryError("manifest: not a JSON object")
    has_output = params.get("output_path") is not None
    return TaskSubmission(
        module_path=Path(text(params, "module_path")),
        input_path=Path(text(params, "input_path")),
        manifest=manifest,
        members=whole_number(params, "members", 1, MAX_TASK_MEMBERS),
        deadline_s=number(params, "deadline_s", 60.0, MAX_DEADLINE_S),
        output_path=Path(text(params, "output_path")) if has_output else None,
    )
