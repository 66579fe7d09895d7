"""Pattern 2 of the guide: a message carries its trace to the peer that receives it.

The receiver's span is a child of the sender's, though all that passes between them is
bytes; the second message comes from a peer that does not trace, and starts a trace of
its own:

    p2p.send_message PRODUCER
      p2p.handle_message CONSUMER
        shop.restock
    p2p.handle_message CONSUMER
      shop.restock

The receiver trusts the sender here. Our own peers do not trust just anybody: see
`zerostate.telemetry.trust`. Run it to send the two traces to a stack on this machine.
"""  # noqa: INP001  # a script to read and run, no package

import json

from opentelemetry.trace import SpanKind

from zerostate import TelemetryConfig, init_tracer
from zerostate.telemetry.decorator import traced
from zerostate.telemetry.helper import TraceHelper, with_message_type
from zerostate.telemetry.marks import record_peer_id, record_size
from zerostate.telemetry.remote import inject_trace_context, with_remote_span

tracing = TraceHelper("p2p")


def send_message(peer_id: str, article: str) -> bytes:
    """Return the message to `peer_id` as it goes over the wire."""
    with tracing.start_span(
        "p2p.send_message", with_message_type("restock"), kind=SpanKind.PRODUCER
    ) as span:
        # Inside the block: what goes along is this span, not the one around it.
        message = {"article": article, "trace_context": inject_trace_context()}
        wire = json.dumps(message).encode()
        record_peer_id(span, peer_id)
        record_size(span, len(wire))
        return wire


def handle_message(wire: bytes) -> None:
    """Act on a message that came over the wire."""
    message = json.loads(wire)
    with with_remote_span(
        "p2p",
        "p2p.handle_message",
        message.get("trace_context"),
        with_message_type("restock"),
        kind=SpanKind.CONSUMER,
    ) as span:
        record_size(span, len(wire))
        restock(message["article"])


@traced("shop.restock")
def restock(article: str) -> str:
    """Order more of `article`."""
    return f"ordered {article}"


def main() -> None:
    """Pass two messages on: one from a peer that traces, one from one that does not."""
    handle_message(send_message("12D3KooW…", "apple"))
    handle_message(json.dumps({"article": "pear"}).encode())


if __name__ == "__main__":
    config = TelemetryConfig(service_name="shop", otlp_endpoint="127.0.0.1:4318")
    with init_tracer(config):
        main()
