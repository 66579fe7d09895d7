"""``zerostate up``: the tracing stack in this process."""

from pathlib import Path
from typing import TYPE_CHECKING

from zerostate.cli.failures import EXIT_OK
from zerostate.cli.output import print_lines
from zerostate.cli.places import require_linux
from zerostate.stack import default_data_dir

if TYPE_CHECKING:
    from zerostate.stack.config import StackUrls


def run_up(
    *,
    data: Path | None,
    host: str,
    otlp_http_port: int,
    otlp_grpc_port: int,
    ui_port: int,
) -> int:
    """Run the stack until Ctrl-C or SIGTERM and return the exit code.

    Args:
        data: Where traces are kept; None takes the default directory.
        host: Address to listen on. Off loopback, page and API need a token.
        otlp_http_port: Receiver of OTLP over HTTP; 0 takes any free port.
        otlp_grpc_port: Receiver of OTLP over gRPC; 0 takes any free port.
        ui_port: Page and query API; 0 takes any free port.

    Raises:
        UnsupportedPlatformError: This is not Linux.
        ConfigError: An option has a value that the stack cannot start with.
        PortInUseError: A port is taken; the message names the option.
        StoreError: The data directory cannot be used, or another process holds it.
    """
    require_linux()
    data_dir = (data or default_data_dir()).absolute()
    from zerostate.stack.app import run  # noqa: PLC0415  # servers
    from zerostate.stack.config import StackConfig  # noqa: PLC0415  # likewise

    def ready(urls: "StackUrls") -> None:
        lines = [
            f"Page and query API  {urls.page}",
            f"OTLP over HTTP      {urls.otlp_http}",
            f"OTLP over gRPC      {urls.otlp_grpc}",
            f"Traces are kept in  {data_dir}",
            "Ctrl-C ends it.",
        ]
        print_lines((line, False) for line in lines)

    run(
        StackConfig(
            data_dir=data_dir,
            host=host,
            otlp_http_port=otlp_http_port,
            otlp_grpc_port=otlp_grpc_port,
            ui_port=ui_port,
        ),
        on_ready=ready,
    )
    return EXIT_OK
