"""The current span, by the shortest way that OpenTelemetry's context allows.

The context stays OpenTelemetry's own: its ``get_current_span`` sees our spans, and we
see everybody's.
"""

import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast, final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer, propagation
from opentelemetry.util.types import Attributes

from zerostate.telemetry.recorder.span import RecordedSpan

if TYPE_CHECKING:
    from contextvars import Token

P = ParamSpec("P")
R = TypeVar("R")

SpanArguments = tuple[
    str,
    Context | None,
    SpanKind,
    Attributes,
    Sequence[Link] | None,
    int | None,
    bool,
    bool,
]
"""The arguments of ``Tracer.start_span``, in order."""

SPAN_KEY: Final = propagation._SPAN_KEY  # noqa: SLF001  # what get_current_span reads
"""Key of the current span in a `Context`."""

_runtime: Final = otel_context._RUNTIME_CONTEXT  # noqa: SLF001  # attach and detach, without their frames
# With the usual runtime context these three are methods of one ContextVar, in C.
_variable: Final = getattr(_runtime, "_current_context", None)
get_context: Final[Callable[[], Context]] = getattr(
    _variable, "get", _runtime.get_current
)
"""Returns the current context."""
_attach: Final = getattr(_variable, "set", _runtime.attach)
_detach: Final = getattr(_variable, "reset", _runtime.detach)

_new: Final[Callable[[type], Any]] = object.__new__
_set_item: Final = dict.__setitem__  # a Context refuses its own


@final
class CurrentSpan:
    """What ``start_as_current_span`` returns: opens a span and makes it current.

    For ``with``, and as a decorator of functions and coroutine functions (one span a
    call). Behaves as the SDK's, and also when it is left in another order or another
    context than it was entered in, as abandoned generators do: then nothing is logged,
    and whoever still has this span as the current one gets the one before it back.
    """

    __slots__ = (
        "_before",
        "_context",
        "_span",
        "_token",
        "arguments",
        "ends",
        "tracer",
    )

    tracer: Tracer
    arguments: SpanArguments
    ends: bool
    _before: Context
    _context: Context
    _span: Span
    _token: "Token[Context]"

    def __enter__(self) -> Span:
        """Start the span and make it current."""
        span = self.tracer.start_span(*self.arguments)
        self._before = before = get_context()
        context = Context(before)
        _set_item(context, SPAN_KEY, span)
        self._context = context
        self._span = span
        self._token = _attach(context)
        return span

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Restore what was current, record what failed, and end the span."""
        span = self._span
        if get_context() is self._context:
            _restore(self._token, self._context, self._before)
        else:
            self._leave_out_of_order()
        if isinstance(exc_val, Exception) and span.__class__ is RecordedSpan:
            *_, records, sets_status = self.arguments
            span.record_failure(
                exc_val, records=records, sets_status=sets_status, escaped=False
            )
        if self.ends:
            span.end()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate `function`: each call gets a span of its own."""
        renewed = self._renewed
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def traced_coroutine(*args: P.args, **kwargs: P.kwargs) -> object:
                call = cast("Callable[P, Coroutine[Any, Any, object]]", function)
                with renewed():
                    return await call(*args, **kwargs)

            return cast("Callable[P, R]", traced_coroutine)

        @functools.wraps(function)
        def traced_function(*args: P.args, **kwargs: P.kwargs) -> R:
            with renewed():
                return function(*args, **kwargs)

        return traced_function

    def _renewed(self) -> "CurrentSpan":
        return current_span(self.tracer, self.arguments, ends=self.ends)

    def _leave_out_of_order(self) -> None:
        inner = get_context().get(SPAN_KEY)
        is_somebody_inside = (
            isinstance(inner, Span) and inner is not self._span and inner.is_recording()
        )
        if is_somebody_inside:
            # Restoring now would take the current span from under whoever opened it,
            # and their own leaving would make this span current again, for good.
            _forget(self._context, self._before)
        else:
            _restore(self._token, self._context, self._before)


def current_span(
    tracer: Tracer, arguments: SpanArguments, *, ends: bool
) -> CurrentSpan:
    """Return a `CurrentSpan` that has not been entered."""
    made: CurrentSpan = _new(CurrentSpan)
    made.tracer = tracer
    made.arguments = arguments
    made.ends = ends
    return made


def _restore(token: "Token[Context]", context: Context, before: Context) -> None:
    try:
        _detach(token)
    except (ValueError, RuntimeError):
        # Entered in another context (another task's, another thread's), which cannot
        # be reached from here; but its `Context` object can.
        _forget(context, before)


def _forget(context: Context, before: Context) -> None:
    """Make `context` show the span that `before` shows, wherever it is current."""
    previous = before.get(SPAN_KEY)
    if previous is None:
        dict.pop(context, SPAN_KEY, None)
    else:
        _set_item(context, SPAN_KEY, previous)
