"""The words of the execution layer: one method for each ``execution.*`` span."""

from contextlib import AbstractContextManager
from typing import final

from opentelemetry.trace import Span, TracerProvider

from zerostate.execution.usage import NearLimit, Usage
from zerostate.semconv import attributes as attr
from zerostate.semconv import spans
from zerostate.telemetry.spans import LayerTracer


@final
class ExecutionTracer(LayerTracer):
    """Opens the ``execution.*`` spans.

    Args:
        provider: Where spans go; None gives spans that record nothing.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        super().__init__("execution", provider)

    def trace_task_execution(
        self, *, task_id: str, guild_id: str, input_bytes: int
    ) -> AbstractContextManager[Span]:
        """Cover one task, from the wait for a worker to the signed receipt."""
        return self.span(
            spans.EXECUTION_TASK,
            {
                attr.TASK_ID: task_id,
                attr.GUILD_ID: guild_id,
                attr.INPUT_SIZE: input_bytes,
            },
        )

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
        """Cover compilation, from sending the module to the worker's answer."""
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


def record_ending(
    span: Span, *, exit_code: int | None, trap: str, near: tuple[NearLimit, ...]
) -> None:
    """Say how the module ended, and which limits it came near."""
    if exit_code is not None:
        span.set_attribute(attr.EXIT_CODE, exit_code)
    if trap:
        span.set_attribute(attr.TRAP_KIND, trap)
    for limit in near:
        span.add_event(
            attr.EVENT_LIMIT_NEAR,
            {attr.LIMIT_NAME: limit.name, attr.LIMIT_USED_RATIO: limit.used_ratio},
        )


def record_usage(span: Span, usage: Usage) -> None:
    """Say what was used."""
    span.set_attributes(
        {
            attr.FUEL_USED: usage.fuel_used,
            attr.MEMORY_PEAK: usage.memory_peak_bytes,
            attr.CPU_TIME_NS: usage.cpu_time_ns,
            attr.WALL_TIME_NS: usage.wall_time_ns,
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
