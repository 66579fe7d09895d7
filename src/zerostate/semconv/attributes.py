"""Attribute and event names.

OpenTelemetry's own keys where they exist (``messaging.*``, ``network.*``,
``error.type``: semantic conventions 1.44), ours otherwise.
"""

from typing import Final

ERROR_TYPE: Final = "error.type"
CANCELLED: Final = "zerostate.cancelled"

PEER_ID: Final = "peer.id"
GUILD_ID: Final = "guild.id"
TASK_ID: Final = "task.id"
CHANNEL_ID: Final = "channel.id"

# p2p
MESSAGE_TYPE: Final = "message.type"
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_BODY_SIZE: Final = "messaging.message.body.size"
NETWORK_TRANSPORT: Final = "network.transport"
NETWORK_PEER_ADDRESS: Final = "network.peer.address"
GOSSIP_SEQUENCE: Final = "gossip.sequence"
GOSSIP_FORWARDER: Final = "gossip.forwarder.peer.id"
GOSSIP_PEERS: Final = "gossip.peers"
LINK_AUTHOR: Final = "zerostate.link.author"
LINK_TRUST: Final = "zerostate.link.trust"

# guild
GUILD_MEMBERS: Final = "guild.members"
GUILD_MAX_MEMBERS: Final = "guild.max_members"
GUILD_CAPABILITIES: Final = "guild.capabilities"

# execution
MODULE_SHA256: Final = "wasm.module.sha256"
MODULE_SIZE: Final = "wasm.module.size"
ENTRY_POINT: Final = "wasm.entry_point"
INPUT_SHA256: Final = "task.input.sha256"
INPUT_SIZE: Final = "task.input.size"
OUTPUT_SHA256: Final = "task.output.sha256"
OUTPUT_SIZE: Final = "task.output.size"
OUTCOME: Final = "task.outcome"
EXIT_CODE: Final = "process.exit.code"
TRAP_KIND: Final = "wasm.trap"
FUEL_USED: Final = "wasm.fuel.used"
FUEL_LIMIT: Final = "wasm.fuel.limit"
MEMORY_PEAK: Final = "wasm.memory.peak"
MEMORY_LIMIT: Final = "wasm.memory.limit"
CPU_TIME_NS: Final = "process.cpu.time_ns"
WALL_TIME_NS: Final = "task.wall_time_ns"
ENGINE_VERSION: Final = "wasm.engine.version"
RECEIPT_SHA256: Final = "receipt.sha256"
MANIFEST_NAME: Final = "manifest.name"
MANIFEST_SHA256: Final = "manifest.sha256"

# payment
PAYMENT_AMOUNT: Final = "payment.amount"
PAYMENT_NONCE: Final = "payment.nonce"
PAYMENT_VERIFIED: Final = "payment.verified"
RECEIPT_VERIFIED: Final = "receipt.verified"
SIGNATURE_SCHEME: Final = "signature.scheme"

EVENT_RECEIPT_ISSUED: Final = "receipt.issued"
"""On ``execution.receipt.generate``; carries `RECEIPT_ENVELOPE`."""

RECEIPT_ENVELOPE: Final = "receipt.envelope"
"""The signed receipt's bytes (at most 4 KiB), so that anyone can verify them."""

EVENT_PAYMENT_STATE: Final = "payment.state"
"""On ``payment.transaction`` and ``payment.channel.update``."""

PAYMENT_STATE_BYTES: Final = "payment.state.signed"
"""The co-signed state's bytes (at most 4 KiB)."""

EVENT_LIMIT_NEAR: Final = "limit.near"
"""A task used at least 80 % of one of its limits."""
