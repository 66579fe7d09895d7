"""node.task_commands: tasks of the node's own, and what it tells of them."""

import json
from contextlib import asynccontextmanager

import pytest
import trio

from zerostate.errors import (
    InvalidQueryError,
    NoExecutorError,
    TaskDeadlineError,
    TaskNotFoundError,
)
from zerostate.ids import new_channel_id, new_task_id
from zerostate.node.control import CommandError
from zerostate.node.report import PaymentReport
from zerostate.node.task_commands import MAX_UNDER_WAY, TaskCommands
from zerostate.node.task_record import MAX_STAGES
from zerostate.testing import FakeClock
from zerostate.units import NS_PER_S

TASK = {"module_path": "/m", "input_path": "/i", "deadline_s": 5}


class FakeRequester:
    """Ends each task after two stages, as `ending` says."""

    def __init__(self):
        self.submissions = []
        self.takes_s = 1
        self.ending = None
        self.outcome = None
        self.stages = 2

    async def run(self, submission, progress, report):
        self.submissions.append(submission)
        for number in range(self.stages):
            await progress(f"stage.{number}", f"text {number}", {"n": number})
            await trio.sleep(self.takes_s / self.stages)
        match self.ending:
            case Exception() as bug:
                raise bug
            case (code, message):
                report.error_code, report.error_message = code, message
                report.outcome = self.outcome
            case None:
                report.outcome, report.output = "ok", b"out"
        return report


class FakeArchive:
    """Keeps records in memory: the clock is virtual, a disk is not."""

    def __init__(self):
        self.records = {}

    async def add(self, task_id, name, data):
        assert name == "record"
        self.records[task_id] = data

    async def read(self, task_id, name):
        assert name == "record"
        return self.records.get(task_id)


class Desk:
    """The commands, called as the control socket does."""

    def __init__(self, nursery):
        self.requester = FakeRequester()
        self.archive = FakeArchive()
        self.clock = FakeClock()
        self.nursery = nursery
        self.restart()

    def restart(self):
        """Begin anew with what is in the archive."""
        self.commands = TaskCommands(
            self.requester, self.archive, self.nursery, self.clock, max_remembered=2
        )
        self.told = []

    async def progress(self, stage, text, data=None):
        self.told.append((stage, text, data))

    async def ask(self, method, **params):
        answer = await self.commands.methods()[method](params, self.progress)
        return json.loads(json.dumps(answer))

    async def submit(self):
        return (await self.ask("task_submit", **TASK))["task_id"]


@asynccontextmanager
async def open_desk():
    async with trio.open_nursery() as nursery:
        yield Desk(nursery)
        nursery.cancel_scope.cancel()


async def test_a_task_goes_on_in_the_background_and_is_told_to_whoever_asks(
    autojump_clock,
):
    async with open_desk() as desk:
        task_id = await desk.submit()
        await trio.sleep(0.25)
        status = await desk.ask("task_status", task_id=task_id)
        assert (status["task_id"], status["state"]) == (task_id, "running")
        assert [one["text"] for one in status["stages"]] == ["text 0"]
        begun_ns = desk.clock.wall_ns()
        desk.clock.advance(7)

        result = await desk.ask("task_result", task_id=task_id)
        assert trio.current_time() == pytest.approx(1)
        assert (result["task"]["id"], result["task"]["outcome"]) == (task_id, "ok")
        assert desk.told == [
            ("stage.0", "text 0", {"n": 0, "at_unix_ns": begun_ns}),
            ("stage.1", "text 1", {"n": 1, "at_unix_ns": begun_ns + 7 * NS_PER_S}),
        ]
        assert (await desk.ask("task_status", task_id=task_id))["state"] == "done"
        assert await desk.ask("task_result", task_id=task_id) == result
        (submission,) = desk.requester.submissions
        assert submission.deadline_s == 5


async def test_a_failed_task_says_why_together_with_its_report(autojump_clock):
    async with open_desk() as desk:
        desk.requester.ending = ("trap", "unreachable")
        task_id = await desk.submit()

        with pytest.raises(CommandError, match="unreachable") as failure:
            await desk.ask("task_result", task_id=task_id)
        assert failure.value.reported_code == "trap"
        assert failure.value.data["task"]["id"] == task_id
        status = await desk.ask("task_status", task_id=task_id)
        assert status["state"] == "failed"
        assert status["error"] == {"code": "trap", "message": "unreachable"}


PAYMENT = PaymentReport(new_channel_id(), 10, 1, verified=True)


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize(("outcome", "state"), [("ok", "done"), ("trap", "failed")])
async def test_a_task_that_was_paid_after_its_end_says_so(
    is_restarted, outcome, state, autojump_clock
):
    async with open_desk() as desk:
        desk.requester.ending = ("chain_unreachable", "the chain is gone")
        desk.requester.outcome = outcome
        task_id = await desk.submit()
        with pytest.raises(CommandError):
            await desk.ask("task_result", task_id=task_id)
        if is_restarted:
            desk.restart()
        await desk.commands.paid_later(task_id, PAYMENT)
        desk.restart()

        status = await desk.ask("task_status", task_id=task_id)
        assert status["state"] == state
        assert status["stages"][-1]["text"] == "paid 10"
        if outcome == "ok":
            result = await desk.ask("task_result", task_id=task_id)
            assert result["payment"]["amount"] == 10


async def test_that_a_task_was_paid_later_may_be_unknown_to_its_node():
    async with open_desk() as desk:
        await desk.commands.paid_later(new_task_id(), PAYMENT)
        broken = new_task_id()
        desk.archive.records[broken] = b"{"
        await desk.commands.paid_later(broken, PAYMENT)
        assert desk.archive.records == {broken: b"{"}


async def test_a_bug_ends_its_task_and_is_counted(autojump_clock, caplog):
    async with open_desk() as desk:
        desk.requester.ending = RuntimeError("a bug")
        task_id = await desk.submit()

        with pytest.raises(CommandError, match="a bug") as failure:
            await desk.ask("task_result", task_id=task_id)
        assert failure.value.reported_code == "internal"
        assert desk.commands.stats() == {"tasks.under_way": 0, "tasks.crashed": 1}
        assert f"{task_id} was ended by a bug" in caplog.text


async def test_who_waits_too_short_is_told_that_the_task_goes_on(autojump_clock):
    async with open_desk() as desk:
        task_id = await desk.submit()

        with pytest.raises(TaskDeadlineError, match=r"within 0.5 s; it goes on"):
            await desk.ask("task_result", task_id=task_id, wait_s=0.5)
        assert (await desk.ask("task_result", task_id=task_id))["task"]


async def test_who_goes_away_while_it_waits_leaves_the_task_alone(autojump_clock):
    async with open_desk() as desk:
        task_id = await desk.submit()
        with trio.move_on_after(0.5):
            await desk.ask("task_result", task_id=task_id)

        assert (await desk.ask("task_result", task_id=task_id))["task"]


async def test_one_task_too_many_is_refused_until_another_has_ended(autojump_clock):
    async with open_desk() as desk:
        for _ in range(MAX_UNDER_WAY):
            await desk.submit()

        with pytest.raises(NoExecutorError, match="tasks are under way; wait"):
            await desk.submit()
        await trio.sleep(2)
        await desk.submit()


async def test_the_oldest_task_that_has_ended_is_forgotten_first(autojump_clock):
    async with open_desk() as desk:
        desk.requester.takes_s = 100
        slow = await desk.submit()
        await trio.sleep(1)
        desk.requester.takes_s = 1
        ended = await desk.submit()
        await trio.sleep(2)
        last = await desk.submit()

        for task_id in (slow, last):
            status = await desk.ask("task_status", task_id=task_id)
            assert status["state"] == "running"
        desk.archive.records.clear()
        with pytest.raises(TaskNotFoundError):
            await desk.ask("task_status", task_id=ended)


@pytest.mark.parametrize("ending", [None, ("trap", "unreachable")])
async def test_a_task_that_has_ended_is_told_alike_after_a_restart(
    autojump_clock, ending
):
    async with open_desk() as desk:
        desk.requester.ending = ending
        task_id = await desk.submit()

        async def told():
            desk.told = []
            status = await desk.ask("task_status", task_id=task_id)
            try:
                result = await desk.ask("task_result", task_id=task_id)
            except CommandError as exc:
                result = (exc.reported_code, str(exc), exc.data)
            return status, result, desk.told

        await trio.sleep(2)
        before = await told()
        assert before[0]["state"] == ("failed" if ending else "done")
        desk.restart()
        assert await told() == before


async def test_a_task_that_was_under_way_at_a_restart_is_not_known(autojump_clock):
    async with open_desk() as desk:
        task_id = await desk.submit()
        desk.restart()

        with pytest.raises(TaskNotFoundError, match=task_id):
            await desk.ask("task_status", task_id=task_id)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"version": 2, "stages": [], "result": {}, "error": null}',
        b'{"version": 1, "stages": [], "result": null, "error": null}',
        b'{"version": 1, "stages": [{}], "result": {}, "error": null}',
        b'{"version": 1, "stages": [], "result": {}, "error": ["trap"]}',
        b"[" * 100_000,
    ],
    ids=range(7),
)
async def test_a_record_that_cannot_be_read_is_a_task_that_is_not_known(
    autojump_clock, data
):
    async with open_desk() as desk:
        task_id = new_task_id()
        desk.archive.records[task_id] = data

        with pytest.raises(TaskNotFoundError, match=r"not a (task's record|stage)"):
            await desk.ask("task_status", task_id=task_id)


async def test_stages_without_end_are_not_all_remembered(autojump_clock):
    async with open_desk() as desk:
        desk.requester.stages = 3 * MAX_STAGES
        task_id = await desk.submit()
        await desk.ask("task_result", task_id=task_id)

        assert len(desk.told) == MAX_STAGES


@pytest.mark.parametrize(
    ("task_id", "error"),
    [(new_task_id(), TaskNotFoundError), ("mine", InvalidQueryError)],
)
@pytest.mark.parametrize("method", ["task_status", "task_result"])
async def test_what_is_no_task_of_this_node_is_refused(
    autojump_clock, method, task_id, error
):
    async with open_desk() as desk:
        with pytest.raises(error, match=task_id):
            await desk.ask(method, task_id=task_id)


@pytest.mark.parametrize("name", ["module_path", "input_path"])
async def test_a_task_without_its_files_is_refused(autojump_clock, name):
    async with open_desk() as desk:
        with pytest.raises(InvalidQueryError, match=f"{name}: missing"):
            await desk.ask("task_submit", **(TASK | {name: None}))
