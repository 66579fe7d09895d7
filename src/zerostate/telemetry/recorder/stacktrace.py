"""The text of an exception, as `traceback.format_exception` has it, but cheaper.

The standard library reads and parses the source line of each frame anew every time.
Here a frame's text is kept for as long as its code object is.
"""

import sys
import traceback
from types import CodeType, TracebackType
from typing import Final

MAX_FRAMES: Final = 2048
"""Frame texts kept; about 200 bytes each. All are forgotten when there are more."""

MAX_CHAIN: Final = 100
"""Longest chain of causes rendered here; a longer one is left to the library."""

_REPEATS_SHOWN: Final = 3
"""Equal frames in a row before they are only counted (`traceback`'s own number)."""

_CAUSE: Final = (
    "\nThe above exception was the direct cause of the following exception:\n\n"
)
_CONTEXT: Final = (
    "\nDuring handling of the above exception, another exception occurred:\n\n"
)
_HEADER: Final = "Traceback (most recent call last):\n"

# The library says more about these than their type and text: where the syntax is
# wrong, what name was perhaps meant, what is in the group.
_LEFT_TO_LIBRARY: Final = (
    BaseExceptionGroup,
    SyntaxError,
    NameError,
    AttributeError,
    ImportError,
)

_frames: Final[dict[tuple[int, int, int], tuple[CodeType, str]]] = {}


def format_exception(exception: BaseException) -> str:
    """Return the text of `exception` with its causes, or a note of why there is none.

    Equal to ``"".join(traceback.format_exception(exception))``; never raises.
    """
    try:
        chain = _plain_chain(exception)
        if chain is None:
            return "".join(traceback.format_exception(exception))
        out: list[str] = []
        for joint, link in reversed(chain):
            out.append(joint)
            _format_one(link, out)
        return "".join(out)
    except Exception as exc:  # noqa: BLE001  # their __str__, a source file gone: said
        return f"<no traceback: {type(exc).__name__}>"


def qualified_name(kind: type[BaseException]) -> str:
    """Return the name of an exception's class for ``exception.type``."""
    module = kind.__module__
    if module and module != "builtins":
        return f"{module}.{kind.__qualname__}"
    return kind.__qualname__


def message_of(exception: BaseException) -> str:
    """Return ``str(exception)``, or what the standard library says when it raises."""
    try:
        return str(exception)
    except Exception:  # noqa: BLE001  # their __str__; the text says so
        return "<exception str() failed>"


def _plain_chain(
    exception: BaseException,
) -> list[tuple[str, BaseException]] | None:
    """Return the chain, newest first, with what stands after each; None: not plain."""
    if hasattr(sys, "tracebacklimit"):
        return None
    chain: list[tuple[str, BaseException]] = []
    seen: set[int] = set()
    joint = ""
    current: BaseException | None = exception
    while current is not None:
        if id(current) in seen or len(chain) >= MAX_CHAIN or not _is_plain(current):
            return None
        seen.add(id(current))
        if current.__cause__ is not None:
            joint, following = _CAUSE, current.__cause__
        elif current.__context__ is not None and not current.__suppress_context__:
            joint, following = _CONTEXT, current.__context__
        else:
            joint, following = "", None
        chain.append((joint, current))
        current = following
    return chain


def _is_plain(exception: BaseException) -> bool:
    return (
        not isinstance(exception, _LEFT_TO_LIBRARY)
        and getattr(exception, "__notes__", None) is None
    )


def _format_one(exception: BaseException, out: list[str]) -> None:
    if exception.__traceback__ is not None:
        out.append(_HEADER)
        _format_frames(exception.__traceback__, out)
    kind = type(exception)
    name = kind.__qualname__
    if kind.__module__ not in ("__main__", "builtins"):
        name = f"{kind.__module__}.{name}"
    text = message_of(exception)
    out.append(f"{name}: {text}\n" if text else f"{name}\n")


def _format_frames(first: TracebackType, out: list[str]) -> None:
    last: tuple[str, int, str] | None = None
    count = 0
    tb: TracebackType | None = first
    while tb is not None:
        code = tb.tb_frame.f_code
        place = (code.co_filename, tb.tb_lineno, code.co_name)
        if place != last:
            _tell_repeats(count, out)
            last, count = place, 0
        count += 1
        if count <= _REPEATS_SHOWN:
            out.append(_frame_text(tb, code))
        tb = tb.tb_next
    _tell_repeats(count, out)


def _tell_repeats(count: int, out: list[str]) -> None:
    more = count - _REPEATS_SHOWN
    if more > 0:
        times = "time" if more == 1 else "times"
        out.append(f"  [Previous line repeated {more} more {times}]\n")


def _frame_text(tb: TracebackType, code: CodeType) -> str:
    # By identity: hashing a code object means hashing all its constants. The object is
    # kept, so that its id cannot come to mean another one.
    key = (id(code), tb.tb_lasti, tb.tb_lineno)
    known = _frames.get(key)
    if known is not None:
        return known[1]
    text = "".join(traceback.extract_tb(tb, limit=1).format())
    if len(_frames) >= MAX_FRAMES:
        _frames.clear()
    _frames[key] = (code, text)
    return text
