"""``zerostate node``: one peer of the network, in this process, and its neighbours."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from zerostate.cli.answers import (
    Answer,
    Json,
    Lines,
    Verbose,
    failing_as_json,
    show_answer,
)
from zerostate.cli.failures import EXIT_OK, failure_of, one_line
from zerostate.cli.output import print_json, print_lines, tell
from zerostate.cli.peers_text import ban_told, peers_and_bans
from zerostate.cli.places import require_linux
from zerostate.cli.running_node import NodeOption, ask_node
from zerostate.errors import ConfigError, ProcessError, ZeroStateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from zerostate.node.app import Ready
    from zerostate.node.config import NodeConfig

# Nothing heavy is imported above: each command loads what it needs when it is called.
# ruff: noqa: PLC0415

ANSWER_S: Final = 15.0
"""Longest wait for an answer of a running node, in seconds."""

MAX_BAN_S: Final = 10 * 365 * 86_400.0
"""Longest ban with an end that a node takes, in seconds: ten years."""

node_app = typer.Typer(
    help="Run a peer of the network; look at its neighbours, and ban them."
)

PeerArgument = Annotated[str, typer.Argument(metavar="PEER", help="12D3Koo…")]


@node_app.command()
def run(
    *,
    config: Annotated[
        Path,
        typer.Option(
            "--config",
            metavar="FILE",
            # Whoever opens it says what is wrong with it.
            readable=False,
            help="The peer's settings, as JSON (docs/config.md: NodeConfig).",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print lines of JSON, nothing else.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "-v", "--verbose", help="Show the network library's logs, and tracebacks."
        ),
    ] = False,
) -> int:
    """Run one peer until Ctrl-C or SIGTERM."""
    return run_node(config, as_json=as_json, verbose=verbose)


@node_app.command("peers")
def list_peers(
    *,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """List who is connected with a running node, and how, and who is banned."""
    return _ask(
        node,
        "peer_list",
        {},
        lambda answer: peers_and_bans(answer, time.time_ns()),
        as_json=as_json,
    )


@node_app.command("ban")
def ban_peer(
    peer_id: PeerArgument,
    *,
    for_s: Annotated[
        float | None,
        typer.Option(
            "--for", metavar="SECONDS", help="How long. Default: until it is unbanned."
        ),
    ] = None,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """Disconnect a peer at once, and have nothing to do with it for a while."""
    with failing_as_json(as_json=as_json):
        # NaN is not above 0 either.
        if for_s is not None and not 0 < for_s <= MAX_BAN_S:
            raise ConfigError(
                f"--for: {for_s:g} is not a number of seconds above 0 and up to"
                f" {MAX_BAN_S:.0f}; without --for a ban has no end"
            )
    params = {"peer_id": peer_id, "for_s": for_s}
    return _ask(node, "peer_ban", params, _banned, as_json=as_json)


@node_app.command("unban")
def unban_peer(
    peer_id: PeerArgument,
    *,
    node: NodeOption = None,
    as_json: Json = False,
    verbose: Verbose = False,  # noqa: ARG001  # read by `main`, for every command alike
) -> int:
    """End a ban."""
    return _ask(node, "peer_unban", {"peer_id": peer_id}, _unbanned, as_json=as_json)


def run_node(path: Path, *, as_json: bool, verbose: bool) -> int:
    """Run the peer that the file `path` describes; return the exit code.

    Logs go to standard error, one JSON object a line. On standard output come, when it
    can be used, its peer id, addresses, control socket and the URL of its health
    server; with `as_json` as ``{"event": "ready", ...}``, and at the end
    ``{"event": "ended"}`` or ``{"event": "failed", "error": {"code", "message"}}``.

    Raises:
        UnsupportedPlatformError: This is not Linux.
        ConfigError: The settings cannot be used; carries every problem.
        PortInUseError: An address to listen on is taken.
        StoreLockedError: Another node runs on the same data directory.
    """
    from zerostate.telemetry.spans import first_failure

    try:
        _run(path, as_json=as_json, verbose=verbose)
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


def _run(path: Path, *, as_json: bool, verbose: bool) -> None:
    parent_pid = os.getppid()
    require_linux()
    from zerostate.node.config import NodeConfig
    from zerostate.node.foreground import (
        die_with_parent,
        ready_facts,
        run_until_signalled,
    )
    from zerostate.p2p.logs import quiet_libp2p_logs
    from zerostate.telemetry.logs import configure_stdlib_logs
    from zerostate.telemetry.sanitising import build_sanitiser

    config = NodeConfig.load(path)
    configure_stdlib_logs(service=config.service_name, sanitise=build_sanitiser())
    if not verbose:
        quiet_libp2p_logs()
    if config.die_with_parent:
        die_with_parent(parent_pid)

    def tell(ready: "Ready") -> None:
        facts = ready_facts(config, ready)
        if as_json:
            print_json({"event": "ready", **facts})
        else:
            print_lines((line, False) for line in _lines(config, ready))

    run_until_signalled(config, tell)


def _lines(config: "NodeConfig", ready: "Ready") -> "Iterator[str]":
    yield f"Peer id         {ready.peers.peer_id}"
    for address in ready.peers.addresses:
        yield f"Listens on      {address}"
    if not ready.peers.addresses:
        yield "Listens on      nothing; it only dials"
    yield f"Health          {ready.ops_url or 'not served; set ops_listen'}"
    yield f"Control socket  {config.control_socket}"
    yield "Ctrl-C ends it."


def _ask(
    node: Path | None, method: str, params: Answer, lines: Lines, *, as_json: bool
) -> int:
    asking = ask_node(node, method, params, timeout_s=ANSWER_S)
    return show_answer(asking, lines, as_json=as_json)


def _banned(answer: Answer) -> "Iterable[str]":
    _warn_unkept(answer)
    return [one_line(ban_told(answer, time.time_ns()))]


def _unbanned(answer: Answer) -> "Iterable[str]":
    _warn_unkept(answer)
    match answer:
        case {"peer_id": str(peer_id), "was_banned": bool(was_banned)}:
            said = "unbanned" if was_banned else "was not banned:"
            return [one_line(f"{said} {peer_id}")]
    raise ProcessError("the node did not tell what it has done")


def _warn_unkept(answer: Answer) -> None:
    if answer.get("unkept") is not None:
        tell([f"warning: a restart will forget it: {one_line(str(answer['unkept']))}"])
