"""What a demo has to show: one JSON object, or text for people."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zerostate.cli.failures import Failure, one_line
from zerostate.cli.query import DEFAULT_UI_URL, LinkedTrace
from zerostate.cli.traces import Trace, TraceSpan
from zerostate.cli.tree import render_tree

MAX_PREVIEW_LINES: Final = 8
"""Lines of the task's output that are shown."""

_WHAT_IT_IS: Final = {"chain": "development chain", "stack": "tracing stack"}


@dataclass(frozen=True, slots=True)
class ProcessEntry:
    """One process of the demo."""

    role: str
    """``requester``, ``executor``, ``member``, ``chain`` or ``stack``."""
    service: str
    """Its ``service.name``."""
    pid: int
    peer_id: str | None
    """None for the chain and the stack, which are no peers."""


@dataclass(slots=True, kw_only=True)
class DemoReport:
    """Filled in while the demo goes on; what is not known stays None."""

    trace_id: str | None = None
    trace: Trace | None = None
    processes: tuple[ProcessEntry, ...] = ()
    task: Mapping[str, object] | None = None
    receipt: Mapping[str, object] | None = None
    payment: Mapping[str, object] | None = None
    linked_traces: tuple[LinkedTrace, ...] = ()
    urls: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    failure: Failure | None = None
    how_to_see: str | None = None
    """The text's last line, in place of the page's address; empty for none."""

    def as_json(self) -> dict[str, object]:
        """Return the object that ``--json`` prints; ``error`` only on failure."""
        spans = self.trace.spans if self.trace else ()
        report: dict[str, object] = {
            "trace_id": self.trace_id,
            "spans": [span_json(span) for span in spans],
            "processes": [dataclasses.asdict(each) for each in self.processes],
            "task": self.task,
            "receipt": self.receipt,
            "payment": self.payment,
            "linked_traces": [dataclasses.asdict(each) for each in self.linked_traces],
            "urls": dict(self.urls),
        }
        if self.failure is not None:
            report["error"] = {
                "code": self.failure.code,
                "message": self.failure.message,
            }
        return report

    def lines(self) -> Iterator[tuple[str, bool]]:
        """Yield what people read, each line with whether it tells of an error."""
        if self.trace is not None:
            yield from _section(f"Trace {self.trace.trace_id}")
            yield from render_tree(self.trace)
        yield from _fields("Task", self.task)
        yield from _fields("Receipt", self.receipt)
        yield from _fields("Payment", self.payment)
        yield from _linked(self.linked_traces)
        yield from _peers(self.processes)
        page = self.urls.get("trace") or self.urls.get("ui")
        shown = f"See it at {page}" if page else ""
        if self.how_to_see is not None:
            shown = self.how_to_see
        if shown:
            yield "", False
            yield shown, False


def how_to_see_again(
    trace: Trace | None, kept_in: Path | None, *, is_default: bool
) -> str:
    """Return how to look at a trace whose stack ends with the demo; empty without one.

    Args:
        trace: What was read back.
        kept_in: The data directory; None if that goes with the demo.
        is_default: Whether ``zerostate up`` takes `kept_in` unless told otherwise.
    """
    if trace is None:
        return ""
    if kept_in is None:
        return "The tracing stack has ended, and its temporary traces with it."
    option = "" if is_default else f" --data {shlex.quote(str(kept_in))}"
    return (
        f"The tracing stack has ended; `zerostate up{option}` shows the trace again, at "
        f"{DEFAULT_UI_URL}/trace/{trace.trace_id}"
    )


def span_json(span: TraceSpan) -> dict[str, object]:
    """Return one span as ``--json`` shows it."""
    return {
        "name": span.name,
        "service": span.service,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "kind": span.kind,
        "status": span.status,
        "status_message": span.status_message,
        "start_ns": span.start_ns,
        "duration_ns": span.duration_ns,
        "attributes": dict(span.attributes),
        "events": [dataclasses.asdict(event) for event in span.events],
        "links": [dataclasses.asdict(link) for link in span.links],
    }


def _section(title: str) -> Iterator[tuple[str, bool]]:
    yield "", False
    yield title, False


def _fields(
    title: str, fields: Mapping[str, object] | None
) -> Iterator[tuple[str, bool]]:
    if fields is None:
        return
    verified = fields.get("verified")
    marks = {True: " (verified)", False: " (NOT verified)"}
    mark = marks[verified] if isinstance(verified, bool) else ""
    yield from _section(title + mark)
    width = max(map(len, fields), default=0)
    for key, value in fields.items():
        if key == "output_preview" and isinstance(value, str):
            yield from _preview(key.ljust(width), value)
        elif key != "verified" and value is not None:
            yield f"  {key.ljust(width)}  {one_line(str(value))}", verified is False


def _preview(key: str, text: str) -> Iterator[tuple[str, bool]]:
    lines = text.splitlines()
    for line in lines[:MAX_PREVIEW_LINES]:
        yield f"  {key}  {one_line(line)}", False
        key = " " * len(key)
    if len(lines) > MAX_PREVIEW_LINES:
        yield f"  {key}  …", False


def _linked(linked: tuple[LinkedTrace, ...]) -> Iterator[tuple[str, bool]]:
    if linked:
        yield from _section("Linked traces")
    for each in linked:
        names = one_line(", ".join(each.span_names))
        service = one_line(each.service)
        yield f"  {one_line(each.trace_id)}  {service}  {names}", False


def _peers(processes: tuple[ProcessEntry, ...]) -> Iterator[tuple[str, bool]]:
    if processes:
        yield from _section("Processes")
    width = max((len(each.service) for each in processes), default=0)
    for each in processes:
        what = each.peer_id or _WHAT_IT_IS[each.role]
        yield f"  {each.service.ljust(width)}  pid {each.pid}  {what}", False
