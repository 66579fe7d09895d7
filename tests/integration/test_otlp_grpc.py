"""The gRPC receiver by itself: a real server and channel, a store that waits."""

import asyncio

import grpc
import grpc.aio
import httpx
import pytest

from stack_spans import batch, of_service, span
from zerostate.stack.collector import GrpcReceiver, Ingest, Ledger, otlp_http_app
from zerostate.stack.collector.held_bytes import HeldBytes

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_BODY = batch(of_service("a", span(1, 1))).payload
_TIMEOUT_S = 30


class _SlowStore:
    """Takes every batch, once it is let; tells of the first that came."""

    def __init__(self):
        self.let = asyncio.Event()
        self.reached = asyncio.Event()

    async def write(self, batch):
        self.reached.set()
        await self.let.wait()


def test_both_receivers_share_one_room_and_senders_are_asked_to_try_again():
    async def run():
        store, ledger = _SlowStore(), Ledger()
        held = HeldBytes(2 * len(_BODY) - 1)
        ingest = Ingest(store, ledger, held)
        receiver = GrpcReceiver(ingest)
        port = await receiver.start("127.0.0.1", 0)
        transport = httpx.ASGITransport(app=otlp_http_app(ingest))
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://a") as client,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            export = channel.unary_unary(_EXPORT)
            over_http = asyncio.create_task(
                client.post(
                    "/v1/traces",
                    content=_BODY,
                    headers={"content-type": "application/x-protobuf"},
                )
            )
            await store.reached.wait()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await export(_BODY, timeout=_TIMEOUT_S)
            store.let.set()
            assert (await over_http).status_code == 200
            assert await export(_BODY, timeout=_TIMEOUT_S) == b""
        await receiver.aclose(1.0)

        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "too many spans at once; try again later"
        assert ledger.refused_requests == {"busy": 1}
        assert held.total_bytes == 0

    asyncio.run(run())
