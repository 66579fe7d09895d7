"""A task belongs to the trace of its first request."""

from zerostate.ids import PeerId, new_task_id
from zerostate.node.counterparts import Counterparts
from zerostate.node.pinning import TaskTraces

ALICE, BOB = PeerId("alice"), PeerId("bob")
FIRST, OTHER = "1" * 32, "2" * 32
TASK = new_task_id()


def test_the_first_trace_is_the_tasks():
    traces = TaskTraces()

    assert traces.agrees(ALICE, TASK, OTHER)
    assert traces.pin(ALICE, TASK, FIRST)
    assert traces.pin(ALICE, TASK, FIRST)
    assert not traces.pin(ALICE, TASK, OTHER)
    assert not traces.agrees(ALICE, TASK, OTHER)
    assert traces.agrees(ALICE, TASK, FIRST)


def test_a_message_without_a_trace_pins_nothing_and_is_in_no_other_trace():
    traces = TaskTraces()

    assert traces.pin(ALICE, TASK, "")
    assert traces.pin(ALICE, TASK, FIRST)
    assert traces.pin(ALICE, TASK, "")


def test_nobody_pins_anothers_task():
    traces = TaskTraces()
    traces.pin(BOB, TASK, OTHER)

    assert traces.pin(ALICE, TASK, FIRST)


def test_the_memory_is_bounded():
    traces = TaskTraces(limit=1)
    traces.pin(ALICE, TASK, FIRST)
    traces.pin(ALICE, new_task_id(), FIRST)

    assert traces.agrees(ALICE, TASK, OTHER)


def test_a_counterpart_is_known_from_when_its_channel_is_open():
    counterparts = Counterparts([ALICE])
    assert ALICE in counterparts
    assert BOB not in counterparts
    counterparts.add(BOB)
    assert BOB in counterparts
