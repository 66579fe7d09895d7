"""``python -m zerostate.stack``: one stack, without the command line's comforts."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

from zerostate.errors import ZeroStateError
from zerostate.stack.config import (
    DEFAULT_HOST,
    StackConfig,
    StackUrls,
    default_data_dir,
)

_EXIT_FAILED: Final = 1


def main(arguments: list[str] | None = None) -> int:
    """Run a stack until it is told to stop, and return the exit code."""
    options = _parser().parse_args(arguments)
    show = _show_json if options.ready_json else _show_text
    try:
        config = StackConfig(
            data_dir=options.data or default_data_dir(),
            host=options.host,
            otlp_http_port=options.otlp_http,
            otlp_grpc_port=options.otlp_grpc,
            ui_port=options.ui,
        )
        # Imported late: the servers take 0.3 s, which a wrong option need not wait for.
        from zerostate.stack.app import run  # noqa: PLC0415 - see above

        run(config, on_ready=show)
    except ZeroStateError as error:
        sys.stderr.write(f"zerostate: {error}\n")
        return _EXIT_FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = StackConfig(data_dir=Path())
    parser = argparse.ArgumentParser(
        prog="python -m zerostate.stack",
        description="Receive, keep and show traces. Port 0 takes any that is free.",
    )
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--host", default=DEFAULT_HOST)
    for option in ("otlp-http", "otlp-grpc", "ui"):
        default = getattr(defaults, f"{option.replace('-', '_')}_port")
        parser.add_argument(f"--{option}", type=int, metavar="PORT", default=default)
    parser.add_argument(
        "--ready-json",
        action="store_true",
        help="when ready, print one line of JSON instead of text",
    )
    return parser


def _show_json(urls: StackUrls) -> None:
    ready = {
        "event": "ready",
        "pid": os.getpid(),
        "otlp_http": urls.otlp_http,
        "otlp_grpc": urls.otlp_grpc,
        "ui": urls.ui,
        "token": urls.token,
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def _show_text(urls: StackUrls) -> None:
    sys.stdout.write(
        f"OTLP/HTTP  {urls.otlp_http}\n"
        f"OTLP/gRPC  {urls.otlp_grpc}\n"
        f"page       {urls.page}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
