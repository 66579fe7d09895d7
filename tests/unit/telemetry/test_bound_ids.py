"""telemetry.bound_ids: which task, guild and peer log lines are about."""

import threading

import trio
from opentelemetry.trace import NoOpTracerProvider

from zerostate.telemetry.bound_ids import bind_ids, bound_ids
from zerostate.telemetry.helper import TraceHelper, with_task_id


def test_ids_are_added_to_those_around_and_taken_back():
    with bind_ids(task_id="t", guild_id="g"):
        with bind_ids(guild_id="h", peer_id="p", channel_id="c", message_type="m"):
            assert bound_ids() == {
                "task.id": "t",
                "guild.id": "h",
                "peer.id": "p",
                "channel.id": "c",
                "message.type": "m",
            }
        assert bound_ids() == {"task.id": "t", "guild.id": "g"}
    assert bound_ids() == {}


def test_a_span_binds_the_ids_that_it_starts_with_also_when_nothing_records():
    helper = TraceHelper("shop", provider=NoOpTracerProvider())
    with helper.start_span("order", with_task_id("t"), {"size": 3}):
        with helper.start_span("phase"):
            assert bound_ids() == {"task.id": "t"}
    assert bound_ids() == {}


async def test_they_go_into_tasks_started_inside():
    seen = []

    async def look():
        seen.append(dict(bound_ids()))

    async with trio.open_nursery() as nursery:
        with bind_ids(task_id="t"):
            nursery.start_soon(look)
        nursery.start_soon(look)

    assert sorted(seen, key=len) == [{}, {"task.id": "t"}]


def test_leaving_in_another_context_than_entered_is_harmless():
    block = bind_ids(task_id="t")
    thread = threading.Thread(target=block.__enter__)
    thread.start()
    thread.join()

    block.__exit__(None, None, None)
    assert bound_ids() == {}
