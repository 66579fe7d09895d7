"""Which ports the demo's servers listen on."""

import socket
from dataclasses import dataclass
from typing import Final

from zerostate.errors import PortInUseError

LOOPBACK: Final = "127.0.0.1"
"""The only address the demo listens on."""


@dataclass(frozen=True, slots=True)
class DemoPorts:
    """The three ports of the tracing stack, and the chain's."""

    otlp_http: int = 4318
    """OTLP over HTTP (OpenTelemetry protocol specification, default port)."""

    otlp_grpc: int = 4317
    """OTLP over gRPC (OpenTelemetry protocol specification, default port)."""

    ui: int = 16686
    """Page and query API, where Jaeger has them."""

    chain: int = 8545
    """JSON-RPC of the embedded chain, where Ethereum's tools look for it."""


DEFAULT_PORTS: Final = DemoPorts()
"""What services and people expect."""


def choose_ports(wanted: DemoPorts = DEFAULT_PORTS) -> DemoPorts:
    """Return `wanted`, with a free port in place of each one that is taken.

    A port is free at the moment of the look; whoever starts a server on it must still
    be ready to find it taken.

    Raises:
        PortInUseError: The machine has no free port at all.
    """
    held: list[socket.socket] = []
    try:
        return DemoPorts(
            otlp_http=_free_or_other(wanted.otlp_http, held),
            otlp_grpc=_free_or_other(wanted.otlp_grpc, held),
            ui=_free_or_other(wanted.ui, held),
            chain=_free_or_other(wanted.chain, held),
        )
    finally:
        for each in held:
            each.close()


def _free_or_other(port: int, held: list[socket.socket]) -> int:
    """Bind `port`, or else any; keep it bound in `held`, so that none is given twice."""
    for candidate in (port, 0):
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        held.append(bound)
        # As servers do, so that a port in TIME_WAIT counts as free.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((LOOPBACK, candidate))
            bound.listen(1)
        except OSError:
            continue
        number: int = bound.getsockname()[1]
        return number
    raise PortInUseError(f"no free port on {LOOPBACK}")
