"""Real tasks' traces, each recorded once a session."""

import pytest
import trio

from stored_story import record_story
from task_world import TASKS


@pytest.fixture(scope="session")
def story(tmp_path_factory):
    """The trace of a task that was run, receipted and paid."""
    story, report = trio.run(record_story, tmp_path_factory.mktemp("story"))
    assert report.error_code is None, report.error_message
    return story


@pytest.fixture(scope="session")
def other_story(tmp_path_factory):
    """The trace of another task between the same peers."""
    story, report = trio.run(record_story, tmp_path_factory.mktemp("story"))
    assert report.error_code is None, report.error_message
    return story


@pytest.fixture(scope="session")
def failed_story(tmp_path_factory):
    """The trace of a task whose module trapped, and that costs nothing."""
    module = (TASKS / "trap.wasm").read_bytes()
    story, report = trio.run(record_story, tmp_path_factory.mktemp("story"), module)
    assert (report.error_code, report.receipt.price) == ("trap", 0)
    return story
