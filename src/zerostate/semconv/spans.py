"""Span names: a closed vocabulary.

A name may hold one placeholder (``{type}``), filled from a closed list of its own, so
that the number of span names stays small.
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["INTERNAL", "CLIENT", "SERVER", "PRODUCER", "CONSUMER"]


@dataclass(frozen=True, slots=True)
class SpanSpec:
    """One registered span."""

    name: str
    """Name or pattern, e.g. ``p2p.message.{type}``."""

    kind: Kind
    """OpenTelemetry span kind."""

    brief: str
    """What the span covers, in one line; shown in the span reference."""


REGISTERED: Final[list[SpanSpec]] = []
"""Every span that ZeroState emits."""


def _register(name: str, brief: str, kind: Kind = "INTERNAL") -> SpanSpec:
    spec = SpanSpec(name, kind, brief)
    REGISTERED.append(spec)
    return spec


TASK_RUN: Final = _register("task.run", "One task, from guild formation to payment")
TASK_RESULT: Final = _register("task.result", "The requester waits for the result")

P2P_CONNECTION_ESTABLISH: Final = _register(
    "p2p.connection.establish", "Dial a peer until the secured connection stands"
)
P2P_MESSAGE: Final = _register(
    "p2p.message.{type}", "A message around its gossip hop, sending or handling"
)
P2P_MESSAGE_CLIENT: Final = _register(
    "p2p.message.{type}", "A request on a direct stream, until its reply", "CLIENT"
)
P2P_MESSAGE_SERVER: Final = _register(
    "p2p.message.{type}", "Handle a request on a direct stream", "SERVER"
)
P2P_GOSSIP_PUBLISH: Final = _register(
    "p2p.gossip.publish", "Hand a message to the gossip mesh", "PRODUCER"
)
P2P_GOSSIP_DELIVER: Final = _register(
    "p2p.gossip.deliver", "A message arrives from the gossip mesh", "CONSUMER"
)

GUILD_CREATE: Final = _register("guild.create", "Announce until enough have joined")
GUILD_JOIN: Final = _register("guild.join", "Join an announced guild")
GUILD_SEND_MESSAGE: Final = _register("guild.send_message", "Send to a guild's member")
GUILD_RECEIVE_MESSAGE: Final = _register(
    "guild.receive_message", "Act on a message of a guild"
)
GUILD_HEARTBEAT: Final = _register(
    "guild.heartbeat", "Tell the guild's creator that this member lives"
)

EXECUTION_TASK: Final = _register("execution.task", "Run one task, all phases")
EXECUTION_MANIFEST_VALIDATE: Final = _register(
    "execution.manifest.validate", "Check the manifest and what it names"
)
EXECUTION_COMPILE: Final = _register("execution.wasm.compile", "Compile the module")
EXECUTION_INSTANTIATE: Final = _register(
    "execution.wasm.instantiate", "Link the module and give it memory"
)
EXECUTION_EXECUTE: Final = _register("execution.wasm.execute", "Call the entry point")
EXECUTION_MEASURE: Final = _register(
    "execution.resources.measure", "Read what the task used"
)
EXECUTION_RECEIPT: Final = _register(
    "execution.receipt.generate", "Write and sign the receipt"
)

PAYMENT_FLOW: Final = _register("payment.flow", "Pay for one task")
PAYMENT_CHANNEL_OPEN: Final = _register(
    "payment.channel.open", "Open a channel with the counterpart"
)
PAYMENT_CHANNEL_UPDATE: Final = _register(
    "payment.channel.update", "Store a new channel state and counter-sign it"
)
PAYMENT_TRANSACTION: Final = _register(
    "payment.transaction", "Pay an amount on a channel"
)
PAYMENT_VERIFY: Final = _register(
    "payment.verify", "Check a payment against receipt, terms and signatures"
)
PAYMENT_SIGN: Final = _register("payment.signature.sign", "Sign a channel state")
PAYMENT_SIGNATURE_VERIFY: Final = _register(
    "payment.signature.verify", "Check a signature"
)
