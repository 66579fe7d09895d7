"""The ``zerostate`` command."""

import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from zerostate import __version__
from zerostate.cli.answers import failing_as_json
from zerostate.cli.channel import channel_app
from zerostate.cli.failures import (
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_TERMINATED,
    Failure,
    failure_of,
    one_line,
)
from zerostate.cli.guild import guild_app
from zerostate.cli.key import key_app
from zerostate.cli.node import node_app
from zerostate.cli.output import (
    flush_output,
    prepare_output,
    print_json,
    print_lines,
    tell,
)
from zerostate.cli.task import task_app
from zerostate.cli.watchtower import watchtower_app
from zerostate.errors import ConfigError, InternalError, OutputError, ZeroStateError

# Nothing heavy is imported above: each command loads what it needs when it is called.
# ruff: noqa: PLC0415

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="End-to-end distributed tracing for a peer-to-peer task network.",
)
trace_app = typer.Typer(help="Look at stored traces.")
app.add_typer(trace_app, name="trace")
app.add_typer(node_app, name="node")
app.add_typer(guild_app, name="guild")
app.add_typer(task_app, name="task")
app.add_typer(watchtower_app, name="watchtower")
app.add_typer(channel_app, name="channel")
app.add_typer(key_app, name="key")

Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Show logs, and tracebacks of bugs.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        # Whoever opens it says what is wrong with it, as one JSON object where asked.
        readable=False,
        help="Where traces are kept. Default: $XDG_DATA_HOME/zerostate.",
    ),
]


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code (`zerostate.cli.failures`)."""
    prepare_output()
    verbose = "-v" in arguments or "--verbose" in arguments
    try:
        result = app(list(arguments), prog_name="zerostate", standalone_mode=False)
        flush_output()
    except ZeroStateError as exc:
        return _fail(failure_of(exc), verbose=verbose)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as exc:
        return _output_failure(exc, verbose=verbose)
    except Exception as exc:  # noqa: BLE001  # the top: a bug of ours is reported
        usage = _usage_error(exc)
        if usage is None:
            return _bug(exc, verbose=verbose)
        return _refuse_usage(usage, as_json="--json" in arguments)
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
        # The requester says what is wrong with a file, in the task's own trace.
        typer.Option(
            "--input", metavar="FILE", readable=False, help="Default: our README."
        ),
    ] = None,
    module: Annotated[
        Path | None,
        typer.Option(
            "--module",
            metavar="WASM",
            readable=False,
            help="Default: SHA-256 of the input.",
        ),
    ] = None,
    settle: Annotated[
        bool, typer.Option("--settle", help="Then settle the payment on the chain.")
    ] = False,
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
        settle=settle,
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
        typer.Option(help="Page of the stack where the test span must be found."),
    ] = None,
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


@trace_app.command("verify")
def trace_verify(
    trace_id: Annotated[
        str, typer.Argument(metavar="ID", help="Trace id; short ones are padded.")
    ],
    *,
    url: Annotated[
        str, typer.Option(help="The stack's page, as it was printed at its start.")
    ] = "http://127.0.0.1:16686",
    chain: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="JSON-RPC of the channel's chain, to ask it, too."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, nothing else.")
    ] = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Hold a task's trace against what was signed and paid.

    Exit code 0: verified. 4: something differs. 5: no evidence. 6: unpaid. 7: forged.
    8: conflicting.
    """
    from zerostate.cli.trace_verify import verify_trace

    with failing_as_json(as_json=as_json):
        found = verify_trace(trace_id, url=url, chain=chain)
    if as_json:
        print_json(found.as_json())
    else:
        print_lines(found.lines())
    return found.exit_code


def _usage_error(error: Exception) -> str | None:
    """Return what was wrong with the command line, None if it was not that."""
    describe = getattr(error, "format_message", None)
    return None if describe is None else one_line(describe())


def _refuse_usage(problem: str, *, as_json: bool) -> int:
    tell([f"error: {problem}", "hint: zerostate --help shows what there is"])
    if as_json:
        from zerostate.cli.report import DemoReport

        failure = Failure(ConfigError.code, problem)
        with suppress(OutputError):
            print_json(DemoReport(failure=failure).as_json())
    return EXIT_INPUT


def _output_failure(error: OSError, *, verbose: bool) -> int:
    """Tell of standard output, if that is what failed, else of a bug."""
    try:
        is_read = flush_output()
    except OutputError as exc:
        return _fail(failure_of(exc), verbose=verbose)
    return _bug(error, verbose=verbose) if is_read else EXIT_TERMINATED


def _bug(error: Exception, *, verbose: bool) -> int:
    failure = Failure(InternalError.code, f"{type(error).__name__}: {error}")
    return _fail(failure, verbose=verbose)


def _fail(failure: Failure, *, verbose: bool) -> int:
    if verbose:
        tell([traceback.format_exc()])
    tell(failure.lines())
    return failure.exit_code
