"""The one path from a request's body into the store."""

import asyncio
from collections.abc import Callable
from typing import Final, final

from zerostate.errors import OtlpDecodeError, StoreUnavailableError
from zerostate.stack.collector.ledger import DropReason, Ledger
from zerostate.stack.otlp import DecodedRequest
from zerostate.stack.store import Writer

_INLINE_DECODE_BYTES: Final = 64 * 1024
"""Longest body decoded on the event loop: about 3 ms of work."""


@final
class Ingest:
    """Decodes, stores, and enters both into the ledger. Shared by all receivers."""

    def __init__(self, writer: Writer, ledger: Ledger) -> None:
        self.ledger: Final = ledger
        self._writer = writer

    async def accept(
        self, body: bytes, decode: Callable[[bytes], DecodedRequest]
    ) -> DecodedRequest:
        """Return once every span of `body` that can be taken is stored durably.

        Cancellation: the spans may have been stored; the ledger counts them as
        dropped.

        Raises:
            OtlpDecodeError: `body` is no export request; nothing was stored.
            StoreUnavailableError: The store cannot write now; nothing was
                acknowledged, and the sender may try again.
        """
        try:
            if len(body) <= _INLINE_DECODE_BYTES:
                request = decode(body)
            else:
                request = await asyncio.to_thread(decode, body)
        except OtlpDecodeError:
            self.ledger.refuse("malformed")
            raise
        self.ledger.drop("malformed_ids", request.rejected_spans)
        await self._store(request)
        return request

    async def _store(self, request: DecodedRequest) -> None:
        span_count = request.batch.span_count
        self.ledger.queue(span_count)
        outcome: DropReason | None = "internal"
        try:
            await self._writer.write(request.batch)
            outcome = None
        except StoreUnavailableError:
            outcome = "store_unavailable"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            if outcome is None:
                self.ledger.store(span_count)
            else:
                self.ledger.drop_queued(outcome, span_count)
