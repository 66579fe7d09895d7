"""The words of the execution layer: one method for each ``execution.*`` span."""

from contextlib import AbstractContextManager
from typing import Final, Literal, final

from opentelemetry.trace import Span, TracerProvider

from zerostate.execution.usage import LimitName, NearLimit, Usage
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.telemetry.propagation import TraceCarrier
from zerostate.telemetry.spans import LayerTracer

ExecutionSpan = Span
"""A span of OpenTelemetry, for those who only hand it on."""

CodeOrigin = Literal["compiled", "kept", "held"]
"""Where a module's native code came from: compiled now, kept in the node's cache, or
held by the worker since an earlier task."""

_NEAR_EVENTS: Final[dict[LimitName, str]] = {
    "memory": attr.EVENT_HIGH_MEMORY_USAGE,
    "wall": attr.EVENT_APPROACHING_TIMEOUT,
    "fuel": attr.EVENT_APPROACHING_FUEL_LIMIT,
    "output": attr.EVENT_APPROACHING_OUTPUT_LIMIT,
}


@final
class ExecutionTracer(LayerTracer):
    """Opens the ``execution.*`` spans.

    Args:
        provider: Where spans go; None gives spans that record nothing.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        super().__init__("execution", provider)

    def trace_task_execution(
        self, task_id: str, guild_id: str, *, input_bytes: int | None = None
    ) -> AbstractContextManager[Span]:
        """Cover one task, from the wait for a worker to the signed receipt.

        Opened by hand around `zerostate.execution.runner.TaskRunner.execute`, it is
        the one span of that call.
        """
        attributes: dict[str, str | int] = {
            attr.TASK_ID: task_id,
            attr.GUILD_ID: guild_id,
        }
        if input_bytes is not None:
            attributes[attr.INPUT_SIZE] = input_bytes
        return self.span(spans.EXECUTION_TASK, attributes, adopts=True)

    def trace_manifest_validation(
        self, *, manifest_sha256: str
    ) -> AbstractContextManager[Span]:
        """Cover the checks of the manifest and of the module and input it comes with."""
        return self.span(
            spans.EXECUTION_MANIFEST_VALIDATE, {attr.MANIFEST_SHA256: manifest_sha256}
        )

    def trace_wasm_compile(
        self, *, module_sha256: str, size_bytes: int, engine_version: str
    ) -> AbstractContextManager[Span]:
        """Cover getting native code into the worker: compiled now, or from a cache.

        What is compiled now has no worker yet: the wait for one is within.
        """
        return self.span(
            spans.EXECUTION_COMPILE,
            {
                attr.MODULE_SHA256: module_sha256,
                attr.MODULE_SIZE: size_bytes,
                attr.ENGINE_VERSION: engine_version,
            },
        )

    def trace_wasm_instantiate(
        self, *, memory_limit_bytes: int
    ) -> AbstractContextManager[Span]:
        """Cover linking, and sending the input to where the module will read it."""
        return self.span(
            spans.EXECUTION_INSTANTIATE, {attr.MEMORY_LIMIT: memory_limit_bytes}
        )

    def trace_wasm_execute(
        self, *, entry_point: str, fuel_limit: int
    ) -> AbstractContextManager[Span]:
        """Cover the call of the entry point, until the output is here."""
        return self.span(
            spans.EXECUTION_EXECUTE,
            {attr.ENTRY_POINT: entry_point, attr.FUEL_LIMIT: fuel_limit},
        )

    def trace_resource_measurement(self) -> AbstractContextManager[Span]:
        """Cover reading what the task used, and freeing it."""
        return self.span(spans.EXECUTION_MEASURE, {})

    def trace_receipt_generation(self, *, outcome: str) -> AbstractContextManager[Span]:
        """Cover writing and signing the receipt."""
        return self.span(spans.EXECUTION_RECEIPT, {attr.OUTCOME: outcome})


def record_manifest(span: Span, *, name: str, module_sha256: str) -> None:
    """Say which manifest was found valid."""
    span.set_attributes({attr.MANIFEST_NAME: name, attr.MODULE_SHA256: module_sha256})


def record_code(span: Span, origin: CodeOrigin) -> None:
    """Say where the module's native code came from."""
    span.set_attribute(attr.CODE_ORIGIN, origin)


def record_busy(span: Span, busy_ns: int) -> None:
    """Say what the phase took inside worker processes; the rest is waiting and the way."""
    span.set_attribute(attr.WORKER_BUSY_NS, busy_ns)


def record_ending(span: Span, *, exit_code: int | None, trap: str) -> None:
    """Say how the module ended."""
    if exit_code is not None:
        span.set_attribute(attr.EXIT_CODE, exit_code)
    if trap:
        span.set_attribute(attr.TRAP_KIND, trap)


def record_near(span: Span, near: NearLimit) -> None:
    """Say that the module came near one of its limits."""
    span.add_event(_NEAR_EVENTS[near.name], {attr.LIMIT_USED_RATIO: near.used_ratio})


def current_traceparent() -> str:
    """Return the current span's ``traceparent``, to send with a command; or nothing."""
    return TraceCarrier.inject().traceparent


def current_trace_id() -> str:
    """Return the current trace's id; zeros outside of any trace, as in a receipt."""
    return TraceCarrier.inject().trace_id or "0" * 32


def record_usage(span: Span, usage: Usage) -> None:
    """Say what was used."""
    span.set_attributes(
        {
            attr.FUEL_USED: usage.fuel_used,
            attr.MEMORY_PEAK: usage.memory_peak_bytes,
            attr.CPU_TIME_NS: usage.cpu_time_ns,
            attr.WALL_TIME_NS: usage.wall_time_ns,
            attr.INPUT_SIZE: usage.input_bytes,
            attr.WRITTEN_SIZE: usage.output_bytes,
        }
    )


def record_outcome(span: Span, *, outcome: str, output_sha256: str, size: int) -> None:
    """Say on the task's span how it ended and what came out, in ``size`` bytes."""
    span.set_attributes(
        {
            attr.OUTCOME: outcome,
            attr.OUTPUT_SHA256: output_sha256,
            attr.OUTPUT_SIZE: size,
        }
    )


def record_receipt(span: Span, *, envelope: bytes, sha256: str) -> None:
    """Put the signed receipt on the span, so that anyone can verify it."""
    span.set_attribute(attr.RECEIPT_SHA256, sha256)
    span.add_event(attr.EVENT_RECEIPT_ISSUED, {attr.RECEIPT_ENVELOPE: envelope})
