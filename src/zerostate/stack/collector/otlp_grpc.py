"""The OTLP/gRPC receiver (OTLP specification 1.x, "OTLP/gRPC").

grpcio carries bytes only, so that both receivers share one decoder and one path.
"""

from typing import Any, Final, final

import grpc.aio  # type: ignore[import-untyped]  # grpcio ships no types

from zerostate.errors import OtlpDecodeError, PortInUseError, StoreUnavailableError
from zerostate.stack.collector.held_bytes import BusyError
from zerostate.stack.collector.ingest import Ingest
from zerostate.stack.otlp import decode_protobuf, export_response_protobuf

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""Longest message, decompressed; grpcio answers RESOURCE_EXHAUSTED above it. A full
batch of the SDK is below 1 MiB, one of the Collector (8192 spans) about 4 MiB."""

MAX_CONCURRENT_CALLS: Final = 32
"""Calls served at once: those beyond are answered RESOURCE_EXHAUSTED, which the
specification lets senders take as final. grpcio decompresses by itself, before we can
enter what a call holds, so that this many longest messages, 256 MiB, come on top of
`MAX_HELD_BYTES` for a moment."""

_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"


@final
class GrpcReceiver:
    """Serves ``TraceService/Export`` on one port."""

    def __init__(self, ingest: Ingest) -> None:
        """Prepare the server; needs a running event loop."""
        self._ingest = ingest
        self._server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                # Two stacks that share a port would each get half of the spans.
                ("grpc.so_reuseport", 0),
            ),
            maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
        )
        export = grpc.unary_unary_rpc_method_handler(self._export)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {"Export": export}),)
        )

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port that it became.

        Args:
            host: An IP address or ``localhost``.
            port: The port, 0 for any that is free.

        Raises:
            PortInUseError: The port cannot be listened on.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise PortInUseError(
                f"port {port} of {host} is in use; choose another with --otlp-grpc"
            ) from error
        await self._server.start()
        return int(bound)

    async def aclose(self, grace_s: float) -> None:
        """Take no more calls and give those under way `grace_s` to end."""
        await self._server.stop(grace_s)

    async def _export(self, body: bytes, context: Any) -> bytes:  # noqa: ANN401 - grpcio is untyped
        try:
            with self._ingest.held.share() as share:
                share.hold(len(body))
                decoded = await self._ingest.accept(body, decode_protobuf)
        except BusyError as error:
            self._ingest.ledger.refuse("busy")
            # Senders try again after UNAVAILABLE, not after RESOURCE_EXHAUSTED.
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise
        except OtlpDecodeError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise
        except StoreUnavailableError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise
        return export_response_protobuf(
            decoded.rejected_spans, decoded.rejected_because
        )
