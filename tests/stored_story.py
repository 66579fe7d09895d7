"""A real task's trace in a store, and ways to tamper with it there."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import httpx
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from starlette.applications import Starlette

from task_world import IDENTITIES, open_world
from zerostate.cli.query import QueryClient
from zerostate.cli.trace_verify import VerifiedTrace, read_story, verify_story
from zerostate.evidence.channel import (
    ChannelTerms,
    SignedState,
    decode_state,
    encode_state,
    encode_terms,
    open_terms,
    state_digest,
)
from zerostate.evidence.channel_update import ChannelUpdate
from zerostate.evidence.ethereum import EthKey
from zerostate.evidence.receipt import Receipt, open_receipt
from zerostate.execution.examples import sha256_module
from zerostate.node.task import TaskReport
from zerostate.payment.config import KEY_FILE
from zerostate.payment.keys import load_or_create_key
from zerostate.semconv import attributes as attr
from zerostate.stack.otlp import (
    Event,
    Resource,
    ResourceSpans,
    Span,
    TraceBatch,
    decode_protobuf,
    encode_protobuf,
)
from zerostate.stack.query import query_routes
from zerostate.stack.store import MemoryStore

URL = "http://127.0.0.1"
CARRIERS = {
    attr.EVENT_RECEIPT_ISSUED: attr.RECEIPT_ENVELOPE,
    attr.EVENT_PAYMENT_STATE: attr.PAYMENT_STATE_BYTES,
}
"""Where each kind of evidence stands."""

Change = Callable[[Span], Span | None]


@dataclass(frozen=True)
class Story:
    """Stored spans of one task, and the keys that its parties sign with."""

    trace_id: str
    groups: tuple[ResourceSpans, ...]
    keys: dict[str, EthKey]

    def map(self, change: Change) -> Self:
        """Return the story with each span changed; None drops it."""
        return replace(self, groups=tuple(_mapped(one, change) for one in self.groups))

    def claiming(self, span_name: str, **claims: object) -> Self:
        """Return the story with other attributes on the spans called so.

        Keys have ``__`` for each dot.
        """
        values = {key.replace("__", "."): value for key, value in claims.items()}
        assert values.keys() <= dict(self.named(span_name).attributes).keys()

        def change(span: Span) -> Span:
            if span.name != span_name:
                return span
            return replace(span, attributes=_with(span.attributes, values))

        return self.map(change)

    def without_events(self, *names: str) -> Self:
        """Return the story without the events called so."""
        return self.with_events(
            lambda event: None if event.name in names else event,
        )

    def with_events(self, change: Callable[[Event], Event | None]) -> Self:
        """Return the story with each event changed; None drops it."""
        return self.map(
            lambda span: replace(
                span, events=tuple(filter(None, map(change, span.events)))
            )
        )

    def with_evidence(self, event_name: str, data: bytes) -> Self:
        """Return the story with other bytes in each event called so."""

        def change(event: Event) -> Event:
            if event.name != event_name:
                return event
            return _evidence(event, data)

        return self.with_events(change)

    def and_evidence(self, event_name: str, data: bytes, **said: object) -> Self:
        """Return the story with one more such event, on the first span that has one."""
        done = []

        def change(span: Span) -> Span:
            found = [event for event in span.events if event.name == event_name]
            if not found or done:
                return span
            done.append(span)
            values = {key.replace("__", "."): value for key, value in said.items()}
            more = _evidence(found[0], data, values)
            return replace(span, events=(*span.events, more))

        return self.map(change)

    def named(self, name: str) -> Span:
        """Return the first span called `name`."""
        return next(span for span in self.spans() if span.name == name)

    def spans(self) -> Iterable[Span]:
        return (
            span
            for group in self.groups
            for scope in group.scope_spans
            for span in scope.spans
        )

    def evidence(self, event_name: str) -> bytes:
        """Return the bytes that an event of that name carries."""
        found = {
            dict(event.attributes)[CARRIERS[event_name]]
            for span in self.spans()
            for event in span.events
            if event.name == event_name
        }
        (data,) = found
        assert isinstance(data, bytes)
        return data

    @property
    def sealed_receipt(self) -> bytes:
        return self.evidence(attr.EVENT_RECEIPT_ISSUED)

    @property
    def receipt(self) -> Receipt:
        return open_receipt(self.sealed_receipt)

    @property
    def state(self) -> SignedState:
        return decode_state(self.evidence(attr.EVENT_PAYMENT_STATE))

    @property
    def terms(self) -> ChannelTerms:
        return open_terms(self.state.terms)

    def signed(
        self,
        update: ChannelUpdate,
        terms: ChannelTerms | None = None,
        **keys: EthKey,
    ) -> bytes:
        """Return `update` as both parties sign it, or with other keys than theirs."""
        terms = terms or self.terms
        digest = state_digest(terms, update)
        signers = self.keys | keys
        return encode_state(
            SignedState(
                encode_terms(terms),
                update,
                signers["requester"].sign(digest).signature,
                signers["executor"].sign(digest).signature,
            )
        )

    def payload(self) -> bytes:
        """Return all spans as an exporter would send them."""
        return encode_protobuf(self.groups)

    def verify(self, *more: ResourceSpans, chain: str | None = None) -> VerifiedTrace:
        """Store the spans, and `more` traces, read them back and verify them."""
        groups = (*self.groups, *more)
        count = sum(len(s.spans) for group in groups for s in group.scope_spans)
        batch = TraceBatch(groups, encode_protobuf(groups), count)

        async def read():
            store = MemoryStore()
            await store.write(batch)
            app = Starlette(routes=query_routes(store.reader))
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
                return await read_story(QueryClient(client, URL), self.trace_id)

        return VerifiedTrace(verify_story(asyncio.run(read()), chain=chain), chain)


async def record_story(
    directory: Path, module: bytes | None = None, **fields: object
) -> tuple[Story, TaskReport]:
    """Run one task over three peers with all their layers, and keep its trace."""
    async with open_world(directory) as world:
        report = await world.run(module or sha256_module(), **fields)
        groups: list[ResourceSpans] = []
        for name, recorder in world.recorders.items():
            spans = [
                span
                for span in recorder.spans
                if f"{span.context.trace_id:032x}" == report.trace_id
            ]
            encoded = encode_spans(spans).SerializeToString()
            peer = (
                ("service.name", name),
                (attr.PEER_ID, IDENTITIES[name].peer_id),
            )
            groups += [
                replace(group, resource=Resource(peer))
                for group in decode_protobuf(encoded).batch.resource_spans
            ]
        keys = {
            name: load_or_create_key(path)
            for name in ("requester", "executor")
            for path in (directory / name).rglob(KEY_FILE)
        }
    return Story(report.trace_id, tuple(groups), keys), report


def _mapped(group: ResourceSpans, change: Change) -> ResourceSpans:
    scopes = tuple(
        replace(scope, spans=tuple(filter(None, map(change, scope.spans))))
        for scope in group.scope_spans
    )
    return replace(group, scope_spans=scopes)


def _with(attributes, values):
    return tuple((dict(attributes) | values).items())


def _evidence(event: Event, data: bytes, said: dict[str, object] | None = None):
    values = {CARRIERS[event.name]: data} | (said or {})
    return replace(event, attributes=_with(event.attributes, values))
