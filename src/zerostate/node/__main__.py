"""``python -m zerostate.node --config FILE``: run one peer as a process.

When ready, one JSON line goes to stdout: ``{"event": "ready", "pid", "peer_id",
"addresses", "control"}``; when it cannot start, ``{"event": "failed", "error": {"code",
"message"}}``. Logs go to stderr, one JSON object a line, with trace and domain ids.
"""

import argparse
import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import trio

from zerostate.errors import UnsupportedPlatformError, ZeroStateError
from zerostate.node import app
from zerostate.node.config import NodeConfig
from zerostate.p2p import PeerNode
from zerostate.p2p.logs import quiet_libp2p_logs
from zerostate.telemetry.logs import configure_stdlib_logs
from zerostate.telemetry.sanitising import build_sanitiser
from zerostate.telemetry.spans import first_failure

DRAIN_S: Final = 5.0
"""A node that was told to end has ended after this, in seconds."""

_PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal to get when the parent dies."""

_EXIT_FAILED: Final = 1

_SERVICE: Final = "zerostate.node"
"""``service`` of log lines until the configuration has given a name."""


def main() -> int:
    """Run one peer; return the exit code."""
    arguments = _parse_arguments()
    configure_stdlib_logs(service=_SERVICE)
    if not arguments.verbose:
        quiet_libp2p_logs()
    parent_pid = os.getppid()
    try:
        _refuse_other_platforms()
        config = NodeConfig.load(arguments.config)
        configure_stdlib_logs(service=config.service_name, sanitise=build_sanitiser())
        if config.die_with_parent:
            _die_with_parent(parent_pid)
        trio.run(_run, config)
    except BaseException as exc:
        failure = first_failure(exc)
        if not isinstance(failure, ZeroStateError):
            raise
        _tell(
            {
                "event": "failed",
                "error": {"code": failure.code, "message": str(failure)},
            }
        )
        return _EXIT_FAILED
    return 0


def _refuse_other_platforms() -> None:
    if sys.platform != "linux":
        raise UnsupportedPlatformError("a peer runs on Linux only")


async def _run(config: NodeConfig) -> None:
    async def tell_ready(peers: PeerNode) -> None:
        _tell(
            {
                "event": "ready",
                "pid": os.getpid(),
                "peer_id": peers.peer_id,
                "addresses": list(peers.addresses),
                "control": str(config.control_socket),
            }
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_on_signal, nursery.cancel_scope)
        await app.run(config, tell_ready)


async def _end_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            # What cannot be cancelled (a thread, a closing socket) must not keep the
            # process: the alarm's default action ends it.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, DRAIN_S)
            scope.cancel()


def _die_with_parent(parent_pid: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        # The parent died before the line above; nobody would tell us any more.
        raise SystemExit(_EXIT_FAILED)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m zerostate.node")
    parser.add_argument("--config", type=Path, required=True, help="a JSON file")
    parser.add_argument(
        "--verbose", action="store_true", help="show the network library's own logs"
    )
    return parser.parse_args()


def _tell(event: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
