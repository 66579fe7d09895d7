"""``python -m zerostate.node --config FILE``: run one peer as a process.

When ready, one JSON line goes to stdout: ``{"event": "ready", "pid", "peer_id",
"addresses", "control", "ops"}``; when it cannot start, ``{"event": "failed", "error":
{"code", "message"}}``. Logs go to stderr, one JSON object a line, with trace and domain
ids.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from zerostate.errors import UnsupportedPlatformError, ZeroStateError
from zerostate.node.app import Ready
from zerostate.node.config import NodeConfig
from zerostate.node.foreground import (
    die_with_parent,
    ready_facts,
    run_until_signalled,
)
from zerostate.p2p.logs import quiet_libp2p_logs
from zerostate.telemetry.logs import configure_stdlib_logs
from zerostate.telemetry.sanitising import build_sanitiser
from zerostate.telemetry.spans import first_failure

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
            die_with_parent(parent_pid)
        run_until_signalled(config, partial(_tell_ready, config))
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


def _tell_ready(config: NodeConfig, ready: Ready) -> None:
    _tell({"event": "ready", **ready_facts(config, ready)})


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
