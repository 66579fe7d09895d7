"""What the spans of a trace claim about its task. Nothing of it is proven. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from zerostate.cli.traces import AttributeValue, Trace, TraceSpan
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.semconv.model import SpanSpec

MAX_VALUES: Final = 8
"""Different values of one claim that are kept: one is right, so that more than one are
wrong whatever they are."""

_PAID: Final = (spans.PAYMENT_TRANSACTION, spans.PAYMENT_CHANNEL_UPDATE)
_OF_TASK: Final = (
    spans.TASK_RUN,
    spans.TASK_RESULT,
    spans.EXECUTION_TASK,
    spans.PAYMENT_FLOW,
    spans.PAYMENT_TRANSACTION,
    spans.PAYMENT_VERIFY,
)
_ATTRIBUTES: Final[Mapping[str, tuple[tuple[SpanSpec, ...], str]]] = {
    "task_id": (_OF_TASK, attr.TASK_ID),
    "guild_id": ((spans.GUILD_CREATE, spans.EXECUTION_TASK), attr.GUILD_ID),
    "executor": ((spans.TASK_RESULT, spans.PAYMENT_FLOW), attr.PEER_ID),
    "outcome": ((spans.EXECUTION_TASK, spans.EXECUTION_RECEIPT), attr.OUTCOME),
    "exit_code": ((spans.EXECUTION_EXECUTE,), attr.EXIT_CODE),
    "trap": ((spans.EXECUTION_EXECUTE,), attr.TRAP_KIND),
    "fuel_used": ((spans.EXECUTION_MEASURE,), attr.FUEL_USED),
    "memory_peak_bytes": ((spans.EXECUTION_MEASURE,), attr.MEMORY_PEAK),
    "cpu_time_ns": ((spans.EXECUTION_MEASURE,), attr.CPU_TIME_NS),
    "wall_time_ns": ((spans.EXECUTION_MEASURE,), attr.WALL_TIME_NS),
    "input_bytes": ((spans.EXECUTION_TASK, spans.EXECUTION_MEASURE), attr.INPUT_SIZE),
    "output_bytes": ((spans.EXECUTION_TASK,), attr.OUTPUT_SIZE),
    "output_sha256": ((spans.EXECUTION_TASK,), attr.OUTPUT_SHA256),
    "module_sha256": (
        (spans.EXECUTION_MANIFEST_VALIDATE, spans.EXECUTION_COMPILE),
        attr.MODULE_SHA256,
    ),
    "manifest_sha256": ((spans.EXECUTION_MANIFEST_VALIDATE,), attr.MANIFEST_SHA256),
    "engine_version": ((spans.EXECUTION_COMPILE,), attr.ENGINE_VERSION),
    "receipt_sha256": ((spans.EXECUTION_RECEIPT,), attr.RECEIPT_SHA256),
    "receipt_verified": ((spans.PAYMENT_VERIFY,), attr.RECEIPT_VERIFIED),
    "channel_id": ((*_PAID, spans.PAYMENT_VERIFY), attr.CHANNEL_ID),
    "payment_verified": ((spans.PAYMENT_VERIFY,), attr.PAYMENT_VERIFIED),
}
"""Which attribute of which spans claims what; names are those of a receipt's fields
where it has such a field."""

_RESOURCES: Final[Mapping[str, tuple[SpanSpec, ...]]] = {
    "requester": (spans.TASK_RUN, spans.TASK_RESULT),
    "executor": (spans.EXECUTION_TASK, spans.EXECUTION_RECEIPT),
}
"""Whose spans they say to be."""


@dataclass(frozen=True, slots=True)
class PaidClaim:
    """What one span says of a payment that did not fail."""

    span: TraceSpan
    nonce: str | None
    amount: str | None
    """None on the payee's span, which does not say it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """All claims of one trace."""

    values: Mapping[str, tuple[str, ...]]
    """Each different value once, as text."""

    payments: tuple[PaidClaim, ...]

    executions: tuple[TraceSpan, ...]
    """The spans that say when the task ran."""

    def of(self, name: str) -> tuple[str, ...]:
        """Return what is claimed; empty if nothing is."""
        return self.values.get(name, ())


def read_claims(trace: Trace) -> Claims:
    """Return what the spans of `trace` claim."""
    by_name: dict[str, list[TraceSpan]] = {}
    for span in trace.spans:
        by_name.setdefault(span.name, []).append(span)
    values: dict[str, dict[str, None]] = {}
    for name, value in _values(by_name):
        known = values.setdefault(name, {})
        if value is not None and len(known) < MAX_VALUES:
            known.setdefault(_text(value))
    return Claims(
        {name: tuple(known) for name, known in values.items()},
        tuple(_payments(by_name)),
        tuple(by_name.get(spans.EXECUTION_TASK.name, ())),
    )


def _values(
    by_name: Mapping[str, list[TraceSpan]],
) -> Iterator[tuple[str, AttributeValue]]:
    for name, (specs, key) in _ATTRIBUTES.items():
        for span in _named(by_name, specs):
            if not _is_given_up(name, span):
                yield name, span.attributes.get(key)
    for name, specs in _RESOURCES.items():
        for span in _named(by_name, specs):
            yield name, span.resource.get(attr.PEER_ID)


def _payments(by_name: Mapping[str, list[TraceSpan]]) -> Iterator[PaidClaim]:
    for span in _named(by_name, _PAID):
        if not _has_failed(span):
            nonce = span.attributes.get(attr.PAYMENT_NONCE)
            amount = span.attributes.get(attr.PAYMENT_AMOUNT)
            yield PaidClaim(
                span,
                None if nonce is None else str(nonce),
                None if amount is None else str(amount),
            )


def _has_failed(span: TraceSpan) -> bool:
    """Whether it may be without evidence: nobody has to sign what was given up."""
    return span.status == "ERROR" or span.attributes.get(attr.CANCELLED) is True


def _is_given_up(name: str, span: TraceSpan) -> bool:
    if name == "payment_verified":
        # The payee may refuse a payment that it takes when it is sent again. The payer,
        # who looks at the receipt, too, has paid by then: what it says is said for good.
        return _has_failed(span) and attr.RECEIPT_VERIFIED not in span.attributes
    return name == "channel_id" and _has_failed(span)


def _text(value: AttributeValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _named(
    by_name: Mapping[str, list[TraceSpan]], specs: tuple[SpanSpec, ...]
) -> Iterator[TraceSpan]:
    for spec in specs:
        yield from by_name.get(spec.name, ())
