"""Span names: a closed vocabulary.

Written by tools/generate_semconv.py from registry/*.yaml; do not edit.

A name may hold one placeholder (``{type}``), filled from a closed list of its
own, so that the number of span names stays small.
"""

from typing import Final

from zerostate.semconv.model import Kind, SpanSpec

__all__ = [
    "EXECUTION_COMPILE",
    "EXECUTION_EXECUTE",
    "EXECUTION_INSTANTIATE",
    "EXECUTION_MANIFEST_VALIDATE",
    "EXECUTION_MEASURE",
    "EXECUTION_RECEIPT",
    "EXECUTION_TASK",
    "GUILD_CREATE",
    "GUILD_DISSOLVE",
    "GUILD_HEARTBEAT",
    "GUILD_JOIN",
    "GUILD_KEY_EXCHANGE",
    "GUILD_LEAVE",
    "GUILD_RECEIVE_MESSAGE",
    "GUILD_SEND_MESSAGE",
    "P2P_CONNECTION_CLOSE",
    "P2P_CONNECTION_ESTABLISH",
    "P2P_DHT",
    "P2P_GOSSIP_DELIVER",
    "P2P_GOSSIP_PUBLISH",
    "P2P_HEALTH_CHECK",
    "P2P_MESSAGE",
    "P2P_MESSAGE_CLIENT",
    "P2P_MESSAGE_SERVER",
    "P2P_RELAY",
    "PAYMENT_BATCH_SETTLE",
    "PAYMENT_CHAIN",
    "PAYMENT_CHANNEL_CLOSE",
    "PAYMENT_CHANNEL_OPEN",
    "PAYMENT_CHANNEL_SETTLE",
    "PAYMENT_CHANNEL_UPDATE",
    "PAYMENT_CHANNEL_WITHDRAW",
    "PAYMENT_DISPUTE",
    "PAYMENT_FLOW",
    "PAYMENT_SIGN",
    "PAYMENT_SIGNATURE_VERIFY",
    "PAYMENT_TRANSACTION",
    "PAYMENT_VERIFY",
    "REGISTERED",
    "TASK_RESULT",
    "TASK_RUN",
    "TELEMETRY_DOCTOR",
    "Kind",
    "SpanSpec",
]

TASK_RUN: Final = SpanSpec(
    "task.run", "INTERNAL", "One task, from guild formation to payment"
)
TASK_RESULT: Final = SpanSpec(
    "task.result", "INTERNAL", "The requester waits for the result"
)
P2P_CONNECTION_ESTABLISH: Final = SpanSpec(
    "p2p.connection.establish",
    "INTERNAL",
    "Dial a peer until the secured connection stands",
)
P2P_HEALTH_CHECK: Final = SpanSpec(
    "p2p.health_check", "INTERNAL", "Ping a connected peer and compare clocks with it"
)
P2P_DHT: Final = SpanSpec(
    "p2p.dht.{operation}",
    "INTERNAL",
    "Store in the distributed hash table, or look something up",
)
P2P_CONNECTION_CLOSE: Final = SpanSpec(
    "p2p.connection.close",
    "INTERNAL",
    "A peer's stay ends, and whoever waited for the peer is told",
)
P2P_RELAY: Final = SpanSpec(
    "p2p.relay", "INTERNAL", "Have to do with a connection that goes through a relay"
)
P2P_MESSAGE: Final = SpanSpec(
    "p2p.message.{type}",
    "INTERNAL",
    "A message around its gossip hop, sending or handling",
)
P2P_MESSAGE_CLIENT: Final = SpanSpec(
    "p2p.message.{type}", "CLIENT", "A request on a direct stream, until its reply"
)
P2P_MESSAGE_SERVER: Final = SpanSpec(
    "p2p.message.{type}", "SERVER", "Handle a request on a direct stream"
)
P2P_GOSSIP_PUBLISH: Final = SpanSpec(
    "p2p.gossip.publish", "PRODUCER", "Hand a message to the gossip mesh"
)
P2P_GOSSIP_DELIVER: Final = SpanSpec(
    "p2p.gossip.deliver", "CONSUMER", "A message arrives from the gossip mesh"
)
GUILD_CREATE: Final = SpanSpec(
    "guild.create", "INTERNAL", "Announce until enough have joined"
)
GUILD_JOIN: Final = SpanSpec("guild.join", "INTERNAL", "Join an announced guild")
GUILD_LEAVE: Final = SpanSpec("guild.leave", "INTERNAL", "Stop being a member")
GUILD_DISSOLVE: Final = SpanSpec(
    "guild.dissolve", "INTERNAL", "End a guild, at its creator"
)
GUILD_KEY_EXCHANGE: Final = SpanSpec(
    "guild.key_exchange",
    "INTERNAL",
    "Make a new key of the guild and wrap it to each member",
)
GUILD_SEND_MESSAGE: Final = SpanSpec(
    "guild.send_message", "INTERNAL", "Send to one member of a guild, or to all"
)
GUILD_RECEIVE_MESSAGE: Final = SpanSpec(
    "guild.receive_message", "INTERNAL", "Act on a message of a guild"
)
GUILD_HEARTBEAT: Final = SpanSpec(
    "guild.heartbeat", "INTERNAL", "Tell the guild's creator that this member lives"
)
EXECUTION_TASK: Final = SpanSpec(
    "execution.task", "INTERNAL", "Run one task, all phases"
)
EXECUTION_MANIFEST_VALIDATE: Final = SpanSpec(
    "execution.manifest.validate", "INTERNAL", "Check the manifest and what it names"
)
EXECUTION_COMPILE: Final = SpanSpec(
    "execution.wasm.compile",
    "INTERNAL",
    "Compile the module, or take it from the cache",
)
EXECUTION_INSTANTIATE: Final = SpanSpec(
    "execution.wasm.instantiate", "INTERNAL", "Link the module and give it memory"
)
EXECUTION_EXECUTE: Final = SpanSpec(
    "execution.wasm.execute", "INTERNAL", "Call the entry point"
)
EXECUTION_MEASURE: Final = SpanSpec(
    "execution.resources.measure", "INTERNAL", "Read what the task used"
)
EXECUTION_RECEIPT: Final = SpanSpec(
    "execution.receipt.generate", "INTERNAL", "Write and sign the receipt"
)
PAYMENT_FLOW: Final = SpanSpec("payment.flow", "INTERNAL", "Pay for one task")
PAYMENT_CHANNEL_OPEN: Final = SpanSpec(
    "payment.channel.open", "INTERNAL", "Open a channel with the counterpart"
)
PAYMENT_CHANNEL_UPDATE: Final = SpanSpec(
    "payment.channel.update",
    "INTERNAL",
    "Store a new channel state and counter-sign it",
)
PAYMENT_TRANSACTION: Final = SpanSpec(
    "payment.transaction", "INTERNAL", "Pay an amount on a channel"
)
PAYMENT_VERIFY: Final = SpanSpec(
    "payment.verify",
    "INTERNAL",
    "Check a payment against receipt, terms and signatures",
)
PAYMENT_SIGN: Final = SpanSpec(
    "payment.signature.sign", "INTERNAL", "Sign a channel state"
)
PAYMENT_SIGNATURE_VERIFY: Final = SpanSpec(
    "payment.signature.verify", "INTERNAL", "Check a signature"
)
PAYMENT_CHANNEL_WITHDRAW: Final = SpanSpec(
    "payment.channel.withdraw",
    "INTERNAL",
    "Pay out a part of a channel that stays open",
)
PAYMENT_CHANNEL_CLOSE: Final = SpanSpec(
    "payment.channel.close",
    "INTERNAL",
    "Agree with the counterpart on the end of a channel, or begin to end it alone",
)
PAYMENT_CHANNEL_SETTLE: Final = SpanSpec(
    "payment.channel.settle",
    "INTERNAL",
    "Settle a channel on the chain, and with it all that was paid on it",
)
PAYMENT_BATCH_SETTLE: Final = SpanSpec(
    "payment.batch.settle",
    "INTERNAL",
    "Record further payments of a settled channel as settled",
)
PAYMENT_DISPUTE: Final = SpanSpec(
    "payment.dispute", "INTERNAL", "Answer a close by an old state with a newer one"
)
PAYMENT_CHAIN: Final = SpanSpec(
    "payment.chain.{operation}",
    "CLIENT",
    "Send a transaction to the chain, and wait until it is confirmed",
)
TELEMETRY_DOCTOR: Final = SpanSpec(
    "telemetry.doctor",
    "INTERNAL",
    "The test span that `zerostate doctor` sends and looks for",
)

REGISTERED: Final[tuple[SpanSpec, ...]] = (
    TASK_RUN,
    TASK_RESULT,
    P2P_CONNECTION_ESTABLISH,
    P2P_HEALTH_CHECK,
    P2P_DHT,
    P2P_CONNECTION_CLOSE,
    P2P_RELAY,
    P2P_MESSAGE,
    P2P_MESSAGE_CLIENT,
    P2P_MESSAGE_SERVER,
    P2P_GOSSIP_PUBLISH,
    P2P_GOSSIP_DELIVER,
    GUILD_CREATE,
    GUILD_JOIN,
    GUILD_LEAVE,
    GUILD_DISSOLVE,
    GUILD_KEY_EXCHANGE,
    GUILD_SEND_MESSAGE,
    GUILD_RECEIVE_MESSAGE,
    GUILD_HEARTBEAT,
    EXECUTION_TASK,
    EXECUTION_MANIFEST_VALIDATE,
    EXECUTION_COMPILE,
    EXECUTION_INSTANTIATE,
    EXECUTION_EXECUTE,
    EXECUTION_MEASURE,
    EXECUTION_RECEIPT,
    PAYMENT_FLOW,
    PAYMENT_CHANNEL_OPEN,
    PAYMENT_CHANNEL_UPDATE,
    PAYMENT_TRANSACTION,
    PAYMENT_VERIFY,
    PAYMENT_SIGN,
    PAYMENT_SIGNATURE_VERIFY,
    PAYMENT_CHANNEL_WITHDRAW,
    PAYMENT_CHANNEL_CLOSE,
    PAYMENT_CHANNEL_SETTLE,
    PAYMENT_BATCH_SETTLE,
    PAYMENT_DISPUTE,
    PAYMENT_CHAIN,
    TELEMETRY_DOCTOR,
)
"""Every span that ZeroState emits."""
