"""zerostate.ids: what is let in."""

import pytest

from zerostate import ids


def test_new_ids_are_accepted_by_their_parsers_and_differ():
    assert ids.parse_guild_id(ids.new_guild_id()) != ids.new_guild_id()
    assert ids.parse_task_id(ids.new_task_id()) != ids.new_task_id()
    assert ids.parse_channel_id(ids.new_channel_id()) != ids.new_channel_id()


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (ids.parse_guild_id, "guild-1"),
        (ids.parse_guild_id, "guild-" + "A" * 32),
        (ids.parse_task_id, "task-" + "0" * 33),
        (ids.parse_channel_id, "0x" + "g" * 64),
        (ids.parse_trace_id, ""),
        (ids.parse_trace_id, "0" * 32),
        (ids.parse_trace_id, "xyz"),
        (ids.parse_trace_id, "1" * 33),
    ],
)
def test_what_is_not_an_id_is_refused(parse, text):
    with pytest.raises(ValueError, match="not a"):
        parse(text)


def test_a_short_trace_id_is_padded_and_lowered():
    assert ids.parse_trace_id(" AB ") == "0" * 30 + "ab"
