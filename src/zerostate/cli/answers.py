"""Asking a node and showing its answer: what commands about running nodes share."""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer

from zerostate.cli.failures import EXIT_OK, failure_of
from zerostate.cli.output import print_json, print_lines
from zerostate.errors import ZeroStateError

Answer = Mapping[str, object]
"""What a node has answered."""

Lines = Callable[[Answer], Iterable[str]]
"""An answer in lines for people."""

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, nothing else.")
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks.")]


@contextmanager
def failing_as_json(*, as_json: bool) -> Iterator[None]:
    """Print an error of ours that the block raises as a JSON object, if `as_json`.

    The error goes through all the same, for its exit code and for standard error.
    """
    try:
        yield
    except ZeroStateError as exc:
        if as_json:
            failure = failure_of(exc)
            error = {"code": failure.code, "message": failure.message}
            print_json({"error": error})
        raise


def show_answer(
    asking: Coroutine[object, object, Answer], lines: Lines, *, as_json: bool
) -> int:
    """Await an answer and print it, as one JSON object or in `lines`.

    Returns:
        The exit code.

    Raises:
        ZeroStateError: Of `asking` or `lines`; as JSON it has been printed, too.
    """
    import asyncio  # noqa: PLC0415  # takes a moment to load; not for --help

    with failing_as_json(as_json=as_json):
        answer = asyncio.run(asking)
        if as_json:
            print_json(answer)
        else:
            print_lines((line, False) for line in lines(answer))
    return EXIT_OK
