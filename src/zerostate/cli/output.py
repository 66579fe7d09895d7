"""Writes results to standard output, which may be a terminal, a file or a closed pipe."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

from zerostate.errors import OutputError

_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"
_STANDARD_ERROR: Final = 2


def prepare_output() -> None:
    """Make sure that closed streams and a poor encoding do not end us.

    A standard stream that is closed (``>&-``) counts as ``/dev/null``: otherwise the
    next file or socket opened would get its number, and our text with it.
    """
    # The lowest free number is given first.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _nowhere() -> TextIO:
    # For as long as the process lives, so that nobody closes it.
    return Path(os.devnull).open("w", encoding="utf-8")


def print_json(document: Mapping[str, object]) -> bool:
    """Write `document` as one line of JSON; False if nobody reads it.

    Raises:
        OutputError: It cannot be written.
    """
    return _write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")


def print_lines(lines: Iterable[tuple[str, bool]]) -> bool:
    """Write lines, each with whether it tells of an error; False if nobody reads.

    Errors are red on a terminal, unless NO_COLOR is set (no-color.org).

    Raises:
        OutputError: They cannot be written.
    """
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return _write(
        "".join(
            f"{_RED}{text}{_PLAIN}\n" if is_error and coloured else f"{text}\n"
            for text, is_error in lines
        )
    )


def flush_output() -> bool:
    """Write what is still buffered; False if nobody reads it.

    Raises:
        OutputError: It cannot be written.
    """
    return _write("")


def tell(lines: Iterable[str]) -> None:
    """Write lines to standard error, as far as it takes them."""
    with suppress(OSError):
        for line in lines:
            print(line, file=sys.stderr, flush=True)


def _write(text: str) -> bool:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()
        return False
    except OSError as exc:
        _give_up_output()
        raise OutputError(f"standard output: {exc.strerror or exc}") from exc
    return True


def _give_up_output() -> None:
    # What is still buffered would raise again when the interpreter ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
