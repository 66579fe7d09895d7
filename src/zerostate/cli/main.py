"""The ``zerostate`` command."""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from zerostate import __version__
from zerostate.cli.failures import (
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    EXIT_OK,
    Failure,
    failure_of,
    one_line,
)
from zerostate.cli.output import prepare_output
from zerostate.errors import InternalError, ZeroStateError

# Nothing heavy is imported above: each command loads what it needs when it is called.
# ruff: noqa: PLC0415

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="End-to-end distributed tracing for a peer-to-peer task network.",
)
trace_app = typer.Typer(help="Look at stored traces.")
app.add_typer(trace_app, name="trace")

Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Show logs, and tracebacks of bugs.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Where traces are kept. Default: $XDG_DATA_HOME/zerostate.",
    ),
]


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code (`zerostate.cli.failures`)."""
    prepare_output()
    verbose = "-v" in arguments or "--verbose" in arguments
    try:
        result = app(list(arguments), prog_name="zerostate", standalone_mode=False)
    except ZeroStateError as exc:
        return _fail(failure_of(exc), verbose=verbose)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as exc:  # noqa: BLE001  # the top: a bug of ours is reported
        usage = _usage_error(exc)
        if usage is not None:
            print(usage, file=sys.stderr)
            return EXIT_INPUT
        message = f"{type(exc).__name__}: {exc}"
        return _fail(Failure(InternalError.code, message), verbose=verbose)
    return result if isinstance(result, int) else EXIT_OK


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.")
    ] = False,
) -> None:
    if version:
        print(f"zerostate {__version__}")
        raise typer.Exit(EXIT_OK)
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def up(
    *,
    data: DataDir = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    otlp_http: Port = 4318,
    otlp_grpc: Port = 4317,
    ui: Port = 16686,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Start the tracing stack: OTLP receiver, store, Jaeger API and page."""
    from zerostate.cli.up import run_up

    return run_up(
        data=data,
        host=host,
        otlp_http_port=otlp_http,
        otlp_grpc_port=otlp_grpc,
        ui_port=ui,
    )


@app.command()
def demo(
    *,
    task_input: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE", help="Input. Default: our README."),
    ] = None,
    module: Annotated[
        Path | None,
        typer.Option("--module", metavar="WASM", help="Default: SHA-256 of the input."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the result.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, nothing else.")
    ] = False,
    peers: Annotated[
        int, typer.Option(help="Peers, 3 to 12; no stack among them.")
    ] = 3,
    data: DataDir = None,
    verbose: Verbose = False,
) -> int:
    """Run one task across real peer processes and show its trace."""
    from zerostate.cli.demo import DemoOptions, run_demo

    options = DemoOptions(
        input=task_input,
        module=module,
        data_dir=data,
        peers=peers,
        once=once,
        as_json=as_json,
        verbose=verbose,
    )
    return run_demo(options)


@app.command()
def doctor(
    *,
    url: Annotated[
        str | None,
        typer.Option(help="Page of the stack in which to look for the test span."),
    ] = "http://127.0.0.1:16686",
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Show which telemetry settings hold here, send a test span and find it."""
    import asyncio

    from zerostate.cli.doctor import run_doctor

    return asyncio.run(run_doctor(url=url or None))


@trace_app.command("show")
def trace_show(
    trace_id: Annotated[
        str, typer.Argument(metavar="ID", help="Trace id; short ones are padded.")
    ],
    url: Annotated[
        str, typer.Option(help="The stack's page, as it was printed at its start.")
    ] = "http://127.0.0.1:16686",
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Print any stored trace as a tree."""
    import asyncio

    from zerostate.cli.trace_show import show_trace

    return asyncio.run(show_trace(trace_id, url=url))


def _usage_error(error: Exception) -> str | None:
    """Return what to say if the command line was wrong, None if it was not that."""
    describe = getattr(error, "format_message", None)
    if describe is None:
        return None
    return f"error: {one_line(describe())}\nhint: zerostate --help shows what there is"


def _fail(failure: Failure, *, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    for text in failure.lines():
        print(text, file=sys.stderr)
    return failure.exit_code
