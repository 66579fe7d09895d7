"""Whether every message and every task is accounted for in what was stored."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from processes.network_of_processes import TaskResult
from processes.stored_traces import StoredSpan, StoredTrace, StoredTraces

ANNOUNCE_TOPIC = "zerostate/guilds/1"
"""Every peer takes part in it, so that each publication concerns all the others."""

_REPORTS_OF_LOSS = ("gossip.missed", "gossip.not_taken", "gossip.dropped.")

EXECUTION = (
    "execution.task",
    "execution.manifest.validate",
    "execution.wasm.compile",
    "execution.wasm.instantiate",
    "execution.wasm.execute",
    "execution.resources.measure",
    "execution.receipt.generate",
)
"""What one task's execution leaves, once each."""


def assert_requests_arrived(stored: StoredTraces) -> None:
    """Assert that each request was handled once, or its sender says that it failed.

    A request that is sent again, or also went by gossip, is handled once; one that went
    to several by gossip, once by each.
    """
    handled = _by_message(
        span
        for span in stored.spans
        if (span.name.startswith("p2p.message.") and span.kind == "server")
        or span.name == "p2p.gossip.deliver"
    )
    for span in stored.spans:
        if not span.name.startswith("p2p.message.") or span.kind != "client":
            continue
        by = [one.service for one in handled[span.tags["messaging.message.id"]]]
        assert len(by) == len(set(by)), f"{span.service}: {span.name} handled by {by}"
        assert by or span.is_error, (
            f"{span.service}: {span.name} was lost, and nobody said so\n"
            f"{stored[span.trace_id].drawn()}"
        )


def assert_gossip_arrived(
    stored: StoredTraces, stats: Mapping[str, Mapping[str, int]]
) -> None:
    """Assert that what was announced to all reached all, or was counted as lost."""
    delivered = _by_message(
        span for span in stored.spans if span.name == "p2p.gossip.deliver"
    )
    lost = []
    for span in stored.spans:
        if span.name != "p2p.gossip.publish" or _topic(span) != ANNOUNCE_TOPIC:
            continue
        heard = [one.service for one in delivered[span.tags["messaging.message.id"]]]
        assert len(heard) == len(set(heard)), f"delivered twice: {heard}"
        lost += [name for name in stats if name not in {*heard, span.service}]
    reported = sum(
        count
        for counts in stats.values()
        for name, count in counts.items()
        if name.startswith(_REPORTS_OF_LOSS)
    ) - sum(counts.get("gossip.late", 0) for counts in stats.values())
    assert len(lost) <= reported, f"{lost} lost, but only {reported} reported"


def assert_report_agrees(
    result: TaskResult, trace: StoredTrace, names: Mapping[str, str], *, members: int
) -> None:
    """Assert that a trace holds just what its requester reported.

    Args:
        result: The report.
        trace: The trace that it names.
        names: The name of each peer by its id.
        members: How many were asked to join.
    """
    told = trace.drawn()
    [root] = trace.roots
    assert (root.name, root.service) == ("task.run", result.requester), told
    assert root.tags["task.id"] == result.report["task"]["id"]
    assert not root.is_error, told
    executor = names[result.report["task"]["executor"]]
    for name in EXECUTION:
        [span] = trace.named(name)
        assert span.service == executor, told
        assert root.start_us <= span.start_us <= span.end_us <= root.end_us, told
    assert len(trace.named("payment.flow")) == (result.report["payment"] is not None)
    accepted = [span.kind for span in trace.named("p2p.message.task_accept")]
    assert sorted(accepted) == ["client", "server"], told
    joins = trace.named("guild.join")
    joined = {span.service for span in joins if not span.is_error}
    assert len(joined) == members, told
    assert executor in joined, told


def assert_reported_well(results: Sequence[TaskResult]) -> None:
    """Assert that every task was done, proved and paid."""
    for result in results:
        assert result.error_code is None, result.error_message
        assert result.report["receipt"]["verified"]
        assert result.report["payment"]["verified"]
    assert len({result.trace_id for result in results}) == len(results)


def _by_message(spans: Iterable[StoredSpan]) -> dict[str, list[StoredSpan]]:
    found = defaultdict(list)
    for span in spans:
        found[span.tags["messaging.message.id"]].append(span)
    return found


def _topic(span: StoredSpan) -> str:
    return span.tags["messaging.destination.name"]
