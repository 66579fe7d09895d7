"""Trace context for child processes, in environment variables.

The names are those of the OpenTelemetry specification ("Environment Variables as
Context Propagation Carriers"): the headers' names in upper case.
"""

import os
from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context

from zerostate.telemetry.propagation import (
    BAGGAGE,
    TRACEPARENT,
    TRACESTATE,
    TraceCarrier,
)

CONTEXT_VARIABLES: Final = {
    TRACEPARENT: "TRACEPARENT",
    TRACESTATE: "TRACESTATE",
    BAGGAGE: "BAGGAGE",
}
"""Which variable carries which header."""


def child_environment(
    environ: Mapping[str, str] = os.environ, context: Context | None = None
) -> dict[str, str]:
    """Return a copy of `environ` for a child process that continues `context`.

    Variables that `environ` has from our own parent are replaced, or removed: a child
    never continues a span that is not ours.

    Args:
        environ: What the child gets besides; this process's environment by default.
        context: Whose span and baggage go along; None takes the current one.
    """
    names = set(CONTEXT_VARIABLES.values())
    child = {name: value for name, value in environ.items() if name not in names}
    for header, value in TraceCarrier.inject(context).headers().items():
        child[CONTEXT_VARIABLES[header]] = value
    return child


def carrier_from_environment(environ: Mapping[str, str] = os.environ) -> TraceCarrier:
    """Return the carrier in `environ`; garbage is dropped and counted as in headers."""
    headers = {
        header: value
        for header, name in CONTEXT_VARIABLES.items()
        if (value := environ.get(name))
    }
    return TraceCarrier.from_headers(headers)


def context_from_environment(environ: Mapping[str, str] = os.environ) -> Context:
    """Return the context in which our parent process started us.

    Holds nothing else; attach it, or give it to the first span.
    """
    return carrier_from_environment(environ).extract()
