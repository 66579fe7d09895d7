"""Writes results to standard output, which may be a terminal, a file or a closed pipe."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Final

_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"


def prepare_output() -> None:
    """Make sure that text which the terminal's encoding lacks does not end us."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def print_json(document: Mapping[str, object]) -> bool:
    """Write `document` as one line of JSON; False if nobody reads it."""
    return _write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")


def print_lines(lines: Iterable[tuple[str, bool]]) -> bool:
    """Write lines, each with whether it tells of an error; False if nobody reads.

    Errors are red on a terminal, unless NO_COLOR is set (no-color.org).
    """
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return _write(
        "".join(
            f"{_RED}{text}{_PLAIN}\n" if is_error and coloured else f"{text}\n"
            for text, is_error in lines
        )
    )


def _write(text: str) -> bool:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would raise again when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return False
    return True
