"""The demo's stack as a process: as ``zerostate up``, but it speaks JSON.

``python -m zerostate.cli.stack_process --data DIR --otlp-http P --otlp-grpc P --ui P``
prints one line on standard output: ``{"event": "ready", ...}`` with its addresses, or
``{"event": "failed", "error": {"code", "message"}}``. The code is what the demo needs
to tell a held data directory, which it can avoid, from a disk that refuses.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from zerostate.cli.failures import EXIT_OK, failure_of
from zerostate.cli.ports import LOOPBACK
from zerostate.errors import ZeroStateError
from zerostate.stack.app import run
from zerostate.stack.config import StackConfig, StackUrls


def main() -> int:
    """Run the stack until SIGTERM and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m zerostate.cli.stack_process")
    parser.add_argument("--data", type=Path, required=True)
    for option in ("--otlp-http", "--otlp-grpc", "--ui"):
        parser.add_argument(option, type=int, required=True)
    options = parser.parse_args()
    try:
        config = StackConfig(
            data_dir=options.data,
            host=LOOPBACK,
            otlp_http_port=options.otlp_http,
            otlp_grpc_port=options.otlp_grpc,
            ui_port=options.ui,
        )
        run(config, on_ready=_tell_ready)
    except ZeroStateError as exc:
        failure = failure_of(exc)
        error = {"code": failure.code, "message": failure.message}
        _tell({"event": "failed", "error": error})
        return failure.exit_code
    return EXIT_OK


def _tell_ready(urls: StackUrls) -> None:
    addresses = {"otlp_http": urls.otlp_http, "otlp_grpc": urls.otlp_grpc}
    _tell({"event": "ready", "pid": os.getpid(), "ui": urls.ui, **addresses})


def _tell(document: Mapping[str, object]) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    sys.exit(main())
