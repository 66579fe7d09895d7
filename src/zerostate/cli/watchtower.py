"""``zerostate watchtower``: a watchtower for payment channels, in this process."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zerostate.cli.failures import EXIT_OK, failure_of
from zerostate.cli.output import print_json, print_lines
from zerostate.cli.places import require_linux
from zerostate.errors import ZeroStateError

if TYPE_CHECKING:
    from zerostate.payment.watchtower.app import Ready
    from zerostate.payment.watchtower.config import WatchtowerConfig

# Nothing heavy is imported above: each command loads what it needs when it is called.
# ruff: noqa: PLC0415

watchtower_app = typer.Typer(
    help="Run a watchtower: it answers old states for peers that are away."
)

Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks.")]


@watchtower_app.callback()
def _group() -> None:
    """Keep ``run`` a command of its own, though it is the only one."""


@watchtower_app.command()
def run(
    *,
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            metavar="FILE",
            # Whoever opens it says what is wrong with it.
            readable=False,
            help="The tower's settings, as JSON (docs/config.md: WatchtowerConfig).",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print lines of JSON, nothing else.")
    ] = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Run a watchtower until Ctrl-C or SIGTERM."""
    return run_watchtower(config, as_json=as_json)


def run_watchtower(path: Path, *, as_json: bool) -> int:
    """Run the watchtower that the file `path` describes; return the exit code.

    Logs go to standard error, one JSON object a line. On standard output come, when
    states can be handed in, its URL, its Ethereum address and how many channels it
    watches; with `as_json` as ``{"event": "ready", ...}``, and at the end
    ``{"event": "ended"}`` or ``{"event": "failed", "error": {"code", "message"}}``.

    Raises:
        UnsupportedPlatformError: This is not Linux.
        ConfigError: The settings cannot be used; carries the problems.
        PortInUseError: The port is taken.
        StoreLockedError: Another tower runs on the same data directory.
        ChainError: The chain does not answer, or has no such contract.
    """
    from zerostate.payment.watchtower.config import WatchtowerConfig
    from zerostate.telemetry.logs import configure_stdlib_logs
    from zerostate.telemetry.sanitising import build_sanitiser
    from zerostate.telemetry.spans import first_failure

    try:
        require_linux()
        config = WatchtowerConfig.load(path)
        configure_stdlib_logs(service=config.service_name, sanitise=build_sanitiser())
        _serve(config, as_json=as_json)
    except BaseException as exc:
        failure = first_failure(exc)
        if not isinstance(failure, ZeroStateError):
            raise
        if as_json:
            told = failure_of(failure)
            error = {"code": told.code, "message": told.message}
            print_json({"event": "failed", "error": error})
        # Out of the groups that the tasks on its way have put it into.
        raise failure from None
    if as_json:
        print_json({"event": "ended"})
    return EXIT_OK


def _serve(config: "WatchtowerConfig", *, as_json: bool) -> None:
    import trio

    from zerostate.node.signals import cancel_on_signal
    from zerostate.payment.watchtower import app

    async def tell(ready: "Ready") -> None:
        if as_json:
            facts = {"url": ready.url, "address": ready.address}
            print_json({"event": "ready", **facts, "channels": ready.channels})
        else:
            print_lines((line, False) for line in _lines(ready))

    async def watch() -> None:
        with trio.CancelScope() as scope, cancel_on_signal(scope):
            await app.run(config, tell)

    trio.run(watch)


def _lines(ready: "Ready") -> list[str]:
    return [
        f"Watchtower      {ready.url}",
        f"Pays from       {ready.address}",
        f"Channels        {ready.channels}",
    ]
