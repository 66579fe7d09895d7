"""`traced`: a span for each call of a function."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar, cast, overload

from opentelemetry import trace
from opentelemetry.trace import SpanKind, TracerProvider

from zerostate.telemetry.block import SpanBlock
from zerostate.telemetry.helper import SpanOption, merged

P = ParamSpec("P")
R = TypeVar("R")


@overload
def traced(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def traced(
    name: str | None = None,
    /,
    *options: SpanOption,
    kind: SpanKind = SpanKind.INTERNAL,
    provider: TracerProvider | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def traced(
    function_or_name: Callable[P, R] | str | None = None,
    /,
    *options: SpanOption,
    kind: SpanKind = SpanKind.INTERNAL,
    provider: TracerProvider | None = None,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Cover each call of a function with a span, current inside it.

    ``@traced``, or ``@traced("orders.charge", {"shop.id": "7"})``. For plain functions
    and methods and for ``async def``; the outcome is decided as for
    `TraceHelper.start_span`, and what the function raises goes on unchanged. Arguments
    and results are not recorded. The instrumentation scope is the function's module.

    Args:
        function_or_name: The span's name; None: ``<module>.<qualified name>``.
        options: Attributes to start each span with.
        kind: The spans' kind.
        provider: Where spans go; None: the process's provider, also when `init_tracer`
            is called only later, or again.

    Raises:
        TypeError: For a generator function: its span would stay current in whoever
            iterates. Also for a class, a ``staticmethod`` or ``classmethod`` object, and
            a callable object.
    """
    if function_or_name is not None and not isinstance(function_or_name, str):
        return _wrap(function_or_name, None, options, kind, provider)
    name = function_or_name

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return _wrap(function, name, options, kind, provider)

    return decorate


def _wrap(
    function: Callable[P, R],
    name: str | None,
    options: Sequence[SpanOption],
    kind: SpanKind,
    provider: TracerProvider | None,
) -> Callable[P, R]:
    _refuse_what_a_span_cannot_cover(function)
    span_name = name or _default_name(function)
    attributes = merged(options)
    tracer = trace.get_tracer(function.__module__, tracer_provider=provider)

    def block() -> SpanBlock:
        return SpanBlock(tracer, span_name, kind=kind, attributes=attributes)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: P.args, **kwargs: P.kwargs) -> object:
            with block():
                return await function(*args, **kwargs)

        return cast("Callable[P, R]", call_async)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with block():
            return function(*args, **kwargs)

    return call


def _default_name(function: Callable[..., object]) -> str:
    # "<locals>." says where it was defined, which is no part of what it does.
    qualified = function.__qualname__.replace("<locals>.", "")
    return f"{function.__module__}.{qualified}"


def _refuse_what_a_span_cannot_cover(function: object) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"@traced: {function.__qualname__} is a generator function, and its span"
            " would stay current in whoever iterates; open a span inside it, around"
            " the work on one item: with TraceHelper(...).start_span(...)"
        )
    if isinstance(function, staticmethod | classmethod):
        raise TypeError(
            f"@traced: put it below @{type(function).__name__}, next to the function"
        )
    if not inspect.isroutine(function):
        raise TypeError(
            f"@traced: {function!r} is no function or method; decorate the method that"
            " does the work"
        )
