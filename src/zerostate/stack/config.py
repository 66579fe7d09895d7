"""What an operator says about a stack, and what they get."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from zerostate.errors import ConfigError
from zerostate.stack.bounds import StoreBounds

MAX_PORT: Final = 65_535
"""Highest TCP port."""

DEFAULT_HOST: Final = "127.0.0.1"
"""Loopback: nobody else can connect unless the operator says so."""

PORT_OPTIONS: Final = {
    "otlp_http_port": "--otlp-http",
    "otlp_grpc_port": "--otlp-grpc",
    "ui_port": "--ui",
}
"""The command line's name of each port, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """How a stack is run.

    Raises:
        ConfigError: Something in it cannot work; carries every problem.
    """

    data_dir: Path
    """Where spans are kept. Created when missing; used by one process at a time."""

    host: str = DEFAULT_HOST
    """Address that all ports listen on. Off loopback the page needs a token."""

    otlp_http_port: int = 4318
    """Port for OTLP/HTTP; 0 for any that is free."""

    otlp_grpc_port: int = 4317
    """Port for OTLP/gRPC; 0 for any that is free."""

    ui_port: int = 16686
    """Port for the page and the query API; 0 for any that is free."""

    bounds: StoreBounds = field(default_factory=StoreBounds)
    """How much the store holds."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, every problem at once."""
        problems = [f"bounds.{one}" for one in self.bounds.problems()]
        if not self.host.strip():
            problems.append("host: is empty; give an address such as 127.0.0.1")
        for name, option in PORT_OPTIONS.items():
            port = getattr(self, name)
            if not 0 <= port <= MAX_PORT:
                problems.append(
                    f"{name}: must be 0 to {MAX_PORT}, is {port}; change {option}"
                )
        problems += self._shared_ports()
        if problems:
            raise ConfigError(*problems)

    def _shared_ports(self) -> list[str]:
        option_of: dict[int, str] = {}
        problems = []
        for name, option in PORT_OPTIONS.items():
            port = getattr(self, name)
            if port and port in option_of:
                problems.append(
                    f"{name}: port {port} is given to {option_of[port]} and {option}; "
                    "change one of them"
                )
            option_of[port] = option
        return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class StackUrls:
    """Where a running stack is reached."""

    otlp_http: str
    """Base URL for OTLP/HTTP exporters, without ``/v1/traces``."""

    otlp_grpc: str
    """``host:port`` for OTLP/gRPC exporters."""

    ui: str
    """Base URL of page and query API, without the token."""

    token: str | None
    """Secret that page and query API ask for; None on loopback."""

    @property
    def page(self) -> str:
        """The URL to open in a browser, with the token where one is needed."""
        return self.ui if self.token is None else f"{self.ui}/?token={self.token}"


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where traces are kept unless told otherwise.

    ``$XDG_DATA_HOME/zerostate``; a relative XDG_DATA_HOME is ignored (XDG Base
    Directory Specification 0.8, "Basics").

    Raises:
        ConfigError: The user has no home directory to find it in.
    """
    configured = environ.get("XDG_DATA_HOME", "")
    if configured and Path(configured).is_absolute():
        return Path(configured) / "zerostate"
    home = environ.get("HOME", "")
    if not Path(home).is_absolute():
        raise ConfigError("--data: HOME is not set; name a directory with --data")
    return Path(home) / ".local" / "share" / "zerostate"
