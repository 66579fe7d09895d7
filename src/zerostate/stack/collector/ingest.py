"""The one path from a request's body into the store."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, final

from zerostate.errors import OtlpDecodeError, StoreUnavailableError
from zerostate.stack.collector.content_coding import (
    decode_body,
    longest_decoded_bytes,
)
from zerostate.stack.collector.held_bytes import BodyShare, HeldBytes
from zerostate.stack.collector.ledger import DropReason, Ledger
from zerostate.stack.collector.one_at_a_time import OneAtATime
from zerostate.stack.otlp import DecodedRequest
from zerostate.stack.store import Writer

_INLINE_DECODE_BYTES: Final = 64 * 1024
"""Longest body decoded on the event loop: about 3 ms of work, 50 ms at worst (JSON
with thousands of empty spans)."""


@final
class Ingest:
    """Decodes, stores, and enters both into the ledger. Shared by all receivers.

    Whatever is sent, two threads at most work on bodies, one that takes off content
    codings and one that decodes, and the event loop stays free to answer.
    """

    def __init__(
        self, writer: Writer, ledger: Ledger, held: HeldBytes | None = None
    ) -> None:
        """Wire the path.

        Args:
            writer: Where spans go.
            ledger: The books.
            held: Room for bodies, in which receivers enter what they hold.
        """
        self.ledger: Final = ledger
        self.held: Final = held or HeldBytes()
        self.inflating: Final = OneAtATime()
        self.decoding: Final = OneAtATime()
        self._short_decoding = OneAtATime()
        self._writer = writer

    async def inflate(
        self, body: bytes, coding: str, max_bytes: int, share: BodyShare
    ) -> bytes:
        """Return `body` without its coding, after which `share` holds the result.

        Args:
            body: The bytes received.
            coding: One of `CODINGS`.
            max_bytes: The most that the result may have.
            share: The request's share; may hold more than there is after an error.

        Raises:
            BusyError: The result might not find room, or others went first for too
                long; nothing was unpacked.
            TooLargeError: The result would be longer.
            MalformedBodyError: `body` is not in `coding`, or cut off.
        """
        if coding == "identity":
            return decode_body(body, coding, max_bytes)
        # Charged only when its turn has come: few bytes may become many, and charging
        # that for all that wait would turn ordinary senders away.
        most_bytes = len(body) + longest_decoded_bytes(body, coding, max_bytes)
        decoded = await self.inflating.run(
            partial(decode_body, body, coding, max_bytes),
            first=partial(share.hold, most_bytes),
        )
        share.hold(len(decoded))
        return decoded

    async def accept(
        self, body: bytes, decode: Callable[[bytes], DecodedRequest]
    ) -> DecodedRequest:
        """Return once every span of `body` that can be taken is stored durably.

        Cancellation: the spans may have been stored; the ledger counts them as
        dropped.

        Raises:
            BusyError: Others went first for too long; nothing was decoded.
            OtlpDecodeError: `body` is no export request; nothing was stored.
            StoreUnavailableError: The store cannot write now; nothing was
                acknowledged, and the sender may try again.
        """
        try:
            if len(body) <= _INLINE_DECODE_BYTES:
                request = await self._short_decoding.run_here(partial(decode, body))
            else:
                request = await self.decoding.run(partial(decode, body))
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
