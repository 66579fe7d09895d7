"""The demo's story against scripted peers and a scripted query API."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from zerostate.cli.cast import roles
from zerostate.cli.control import ControlClient, ControlError
from zerostate.cli.network import Network, Peer
from zerostate.cli.processes import ProcessSpec, Supervisor
from zerostate.cli.progress import Progress
from zerostate.cli.report import DemoReport
from zerostate.cli.story import Story
from zerostate.errors import PeerLostError, ProcessError, TraceIncompleteError

FAKES = Path(__file__).parents[2] / "data" / "processes"
TRACE = "ab" * 16
STARTED = {
    "progress": {
        "stage": "task.started",
        "text": "task-1",
        "data": {"trace_id": TRACE, "task_id": "task-1"},
    }
}
DONE = {"result": {"trace_id": TRACE, "task": {"id": "task-1", "outcome": "ok"}}}
TRAPPED = {"error": {"code": "trap", "message": "unreachable", "data": {}}}
FLUSHED = {"result": {"flushed": True}}
WHOLE = [("01", ""), ("02", "01")]
GAPPED = [("01", ""), ("03", "02")]
HANG = "hang"
PAID = {
    "result": {
        "trace_id": TRACE,
        "task": {"id": "task-1", "outcome": "ok"},
        "payment": {"channel_id": "0xc1", "amount": 5, "nonce": 1, "verified": True},
    }
}
SETTLEMENT = "cd" * 16
CLAIM = "ef" * 16
LINKS = [{"traceId": SETTLEMENT, "spanNames": ["payment.channel.settle"]}]


def ended(trace_id):
    """Return a channel as a node tells it once it has its share."""
    settlement = {"tx_hash": "0x7f", "block_number": 4, "trace_id": trace_id}
    return {"result": {"phase": "settled", "settlement": settlement}}


STILL_OPEN = {"result": {"phase": "open", "settlement": None}}


@pytest.fixture(autouse=True)
def _fake_modules(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(FAKES))


@asynccontextmanager
async def serving(start, answer):
    """Serve with `answer(reader, writer)`; give the server."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        with suppress(OSError):
            await answer(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await start(serve)
    try:
        yield server
    finally:
        server.close()
        await asyncio.gather(*tasks)


def scripted_peer(path, script):
    """Serve as a node that gives each method's replies; the last of its lists stays."""

    async def answer(reader, writer):
        replies = script[json.loads(await reader.readline())["method"]]
        for reply in replies.pop(0) if len(replies) > 1 else replies[0]:
            if reply == HANG:
                await reader.read()
            else:
                writer.write(json.dumps(reply).encode() + b"\n")

    return serving(lambda serve: asyncio.start_unix_server(serve, path), answer)


def scripted_api(spans, books):
    """Serve `spans`, of any trace or by trace, as the query API does."""

    async def answer(reader, writer):
        path = (await reader.readline()).split()[1].decode()
        while await reader.readline() not in {b"\r\n", b""}:
            pass
        of_trace = spans.get(path[-32:], []) if isinstance(spans, dict) else spans
        stored = [{"spanId": s, "parentSpanId": p} for s, p in of_trace]
        groups = [{"scopeSpans": [{"spans": stored}]}] if stored else []
        document = {
            "v3": {"result": {"resourceSpans": groups}},
            "zs": books if path.endswith("ledger") else {"links": LINKS},
        }[path.split("/")[2]]
        writer.write(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")
        writer.write(json.dumps(document).encode())

    return serving(lambda serve: asyncio.start_server(serve, "127.0.0.1", 0), answer)


def told(
    tmp_path,
    submit_replies,
    spans,
    *,
    act=None,
    books=None,
    flush=FLUSHED,
    settling=None,
):
    """Tell a story; return the report and the error that it ended with.

    Args:
        settling: What requester and executor reply when the channel is to be settled;
            None settles nothing.
        act: Called with the stack's process and the story's task, once the ids of the
            task are known.
    """
    report = DemoReport()

    async def run():
        async with AsyncExitStack() as held:
            supervisor = Supervisor()
            held.push_async_callback(supervisor.stop)
            stack = await supervisor.start(
                ProcessSpec(
                    name="stack",
                    module="fake_process",
                    arguments=("good",),
                    log_path=tmp_path / "stack.log",
                )
            )
            path = tmp_path / "control.sock"
            script = {
                "submit": [submit_replies],
                "flush": [[flush]],
                **(settling or {}),
            }
            await held.enter_async_context(scripted_peer(path, script))
            api = await held.enter_async_context(scripted_api(spans, books or {}))
            control = ControlClient("requester", path)
            peers = [Peer(r, "12D3", (), stack, control) for r in roles(3)[:2]]
            network = Network(
                stack=stack,
                chain=stack,
                otlp_http="",
                ui=f"http://127.0.0.1:{api.sockets[0].getsockname()[1]}",
                data_dir=tmp_path,
                keeps_traces=True,
                peers=tuple(peers),
            )
            story = Story(network, report, Progress(), trace_timeout_s=0.05)
            telling = asyncio.create_task(story.tell({}, settles=settling is not None))
            while act is not None and report.trace_id is None:  # noqa: ASYNC110  # a report tells nobody
                await asyncio.sleep(0.001)
            if act is not None:
                act(stack, telling)
            try:
                await telling
            except asyncio.CancelledError:
                await story.salvage()
                raise

    try:
        asyncio.run(run())
    except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001  # returned
        return report, exc
    return report, None


def test_a_whole_trace_is_a_good_end(tmp_path):
    report, error = told(tmp_path, [STARTED, DONE], WHOLE)

    assert error is None
    assert report.task["outcome"] == "ok"
    assert len(report.trace.spans) == 2
    assert report.urls["trace"].endswith(f"/trace/{TRACE}")


def test_a_trace_with_a_gap_is_a_failure_with_the_stacks_reason(tmp_path):
    books = {"droppedSpans": {"store_unavailable": 5}, "store": {"failedWrites": 2}}

    report, error = told(tmp_path, [STARTED, DONE], GAPPED, books=books)

    assert isinstance(error, TraceIncompleteError)
    assert "the trace has gaps: 1 spans" in str(error)
    assert "the disk refused 2 writes; spans dropped: store_unavailable 5" in str(error)
    assert len(report.trace.spans) == 2
    assert report.task["outcome"] == "ok"


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([], f"no span of trace {TRACE} has reached the stack"),
        ([("01", "02"), ("02", "01")], "its root never arrived"),
    ],
)
def test_a_trace_that_is_not_there_at_all_is_a_failure(tmp_path, spans, said):
    _, error = told(tmp_path, [DONE], spans)

    assert isinstance(error, TraceIncompleteError)
    assert said in str(error)


def test_a_result_that_names_no_trace_is_a_failure(tmp_path):
    _, error = told(tmp_path, [{"result": {}}], WHOLE)

    assert isinstance(error, TraceIncompleteError)


def test_a_peer_that_could_not_send_its_spans_is_named_as_a_reason(tmp_path):
    unsent = {"result": {"flushed": False}}

    _, error = told(tmp_path, [DONE], GAPPED, flush=unsent)

    assert "requester could not send all of its spans" in str(error)


def test_the_tasks_own_failure_comes_first_and_keeps_the_ids(tmp_path):
    report, error = told(tmp_path, [STARTED, TRAPPED], GAPPED)

    assert isinstance(error, ControlError)
    assert error.reported.code == "trap"
    assert report.trace_id == TRACE
    assert report.task["id"] == "task-1"
    assert len(report.trace.spans) == 2


def test_a_requester_that_dies_leaves_the_ids_and_what_had_arrived(tmp_path):
    report, error = told(tmp_path, [STARTED], GAPPED)

    assert isinstance(error, PeerLostError)
    assert report.trace_id == TRACE
    assert report.task["id"] == "task-1"
    assert len(report.trace.spans) == 2


def test_a_story_that_is_given_up_can_still_be_read_back(tmp_path):
    report, error = told(
        tmp_path, [STARTED, HANG], WHOLE, act=lambda _stack, telling: telling.cancel()
    )

    assert isinstance(error, asyncio.CancelledError)
    assert report.task["id"] == "task-1"
    assert len(report.trace.spans) == 2


def test_a_stack_that_dies_in_the_middle_of_a_task_is_noticed_at_once(tmp_path):
    report, error = told(
        tmp_path,
        [STARTED, HANG],
        GAPPED,
        act=lambda stack, _telling: stack.signal_group(signal.SIGKILL),
    )

    assert isinstance(error, ProcessError)
    assert "the tracing stack ended in the middle of the task" in str(error)
    assert report.trace_id == TRACE


def test_what_was_paid_is_not_settled_unless_that_is_asked_for(tmp_path):
    report, error = told(tmp_path, [STARTED, PAID], WHOLE)

    assert error is None
    assert report.payment["amount"] == 5
    assert report.payment["settled"] is False
    assert report.payment["settlement_tx"] is None


def test_a_settled_payment_names_its_transaction_and_its_traces_are_whole(tmp_path):
    settling = {
        "channel_close": [[ended(SETTLEMENT)]],
        "channel_show": [[STILL_OPEN], [ended(CLAIM)]],
    }
    report, error = told(tmp_path, [STARTED, PAID], WHOLE, settling=settling)

    assert error is None
    assert report.payment["settled"] is True
    assert report.payment["settlement_tx"] == "0x7f"
    assert [each.trace_id for each in report.linked_traces] == [SETTLEMENT]


@pytest.mark.parametrize("gap", [SETTLEMENT, CLAIM])
def test_a_gap_in_a_trace_of_the_settlement_is_a_failure(tmp_path, gap):
    settling = {
        "channel_close": [[ended(SETTLEMENT)]],
        "channel_show": [[ended(CLAIM)]],
    }
    spans = {TRACE: WHOLE, SETTLEMENT: WHOLE, CLAIM: WHOLE, gap: GAPPED}
    report, error = told(tmp_path, [STARTED, PAID], spans, settling=settling)

    assert isinstance(error, TraceIncompleteError)
    assert "of the settlement, the trace has gaps: 1 spans" in str(error)
    assert report.payment["settled"] is True


def test_a_channel_that_cannot_be_closed_is_a_failure_with_the_tasks_trace(tmp_path):
    refusal = {"error": {"code": "chain", "message": "no", "data": {"payment": 7}}}
    settling = {"channel_close": [[refusal]]}
    report, error = told(tmp_path, [STARTED, PAID], WHOLE, settling=settling)

    assert isinstance(error, ControlError)
    assert error.reported.code == "chain"
    assert (report.payment["amount"], report.payment["settled"]) == (5, False)
    assert report.task["outcome"] == "ok"
    assert len(report.trace.spans) == 2


def test_a_channel_that_is_only_being_closed_is_a_failure(tmp_path):
    disputed = {"result": {"phase": "disputed", "settlement": None}}
    settling = {"channel_close": [[disputed]]}
    report, error = told(tmp_path, [STARTED, PAID], WHOLE, settling=settling)

    assert isinstance(error, ProcessError)
    assert "the channel is disputed, not settled" in str(error)
    assert report.payment["settled"] is False


def test_where_nothing_was_paid_nothing_is_settled(tmp_path):
    report, error = told(tmp_path, [STARTED, DONE], WHOLE, settling={})

    assert error is None
    assert report.payment is None
