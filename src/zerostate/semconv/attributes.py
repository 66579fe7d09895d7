"""Attribute and event names.

Written by tools/generate_semconv.py from registry/*.yaml; do not edit.
"""

from typing import Final

# common

PEER_ID: Final = "peer.id"
"""The other peer, by its libp2p peer id. On a resource, the peer itself."""

GUILD_ID: Final = "guild.id"
"""The guild."""

TASK_ID: Final = "task.id"
"""The task."""

CHANNEL_ID: Final = "channel.id"
"""The payment channel."""

CANCELLED: Final = "zerostate.cancelled"
"""The work was told to stop before it ended. Such a span is no error."""

BACKGROUND: Final = "zerostate.background"
"""Begun by a timer of the node's, not by anybody's work. Such roots are sampled at a
rate of their own."""

LINK_AUTHOR: Final = "zerostate.link.author"
"""The peer id of whoever signed the linked span's context."""

LINK_TRUST: Final = "zerostate.link.trust"
"""What this peer thinks of the linked context's author."""

ERROR_TYPE: Final = "error.type"
"""The failure's code from the closed list of ``zerostate.errors``."""

# task

TASK_CANDIDATES: Final = "task.candidates"
"""Members of the guild that offer all that the task needs."""

TASK_BIDS: Final = "task.bids"
"""Bids within the task's terms. The only candidate's is the price it joined with."""

TASK_ASKED: Final = "task.asked"
"""How many bidders were asked to run the task until one accepted or none was left."""

EVENT_TASK_DECLINED: Final = "task.declined"
"""Who was asked to run the task did not accept it. The next best bidder is asked, if
there is one. On ``task.run``."""

# p2p

MESSAGE_TYPE: Final = "message.type"
"""What kind of message, from the closed list of ``zerostate.p2p.types``."""

CONNECTION_CLOSE_REASON: Final = "connection.close_reason"
"""Why a peer's stay ended."""

CONNECTION_STOOD_S: Final = "connection.stood_s"
"""How long the peer was connected, in seconds."""

RELAY_DIRECTION: Final = "relay.direction"
"""What this peer has to do with the relayed connection."""

RELAY_SOURCE: Final = "relay.src_peer"
"""Who asks the relay. As a relay tells, until the handshake has proved it."""

RELAY_DESTINATION: Final = "relay.dst_peer"
"""Who is to be reached; of a reservation, the relay."""

RELAY_VIA: Final = "relay.peer.id"
"""The relay."""

GOSSIP_SEQUENCE: Final = "gossip.sequence"
"""The author's count of messages published; two authors' do not compare."""

GOSSIP_FORWARDER: Final = "gossip.forwarder.peer.id"
"""The neighbour that handed the message on."""

GOSSIP_SKEWED_LATENCY_NS: Final = "gossip.skewed_latency_ns"
"""Nanoseconds since the author signed, clocks' difference included; may be < 0."""

MESSAGE_ATTEMPT: Final = "message.attempt"
"""Which sending of the same request it is, from 2."""

DHT_OPERATION: Final = "dht.operation"
"""What is done with the distributed hash table."""

DHT_KEY: Final = "dht.key"
"""What is looked up; a peer id where a peer is."""

DHT_RECORD: Final = "dht.record"
"""What stands under the key."""

DHT_PEERS: Final = "dht.peers"
"""How many other peers hold the value, or list us; looking for providers, how many were
found."""

DHT_FOUND: Final = "dht.found"
"""Whether anything was found."""

GOSSIP_PEERS: Final = "gossip.peers"
"""To how many neighbours the message went."""

ROUND_TRIP_NS: Final = "p2p.round_trip_ns"
"""Time from a ping to its answer, in nanoseconds."""

CLOCK_OFFSET_NS: Final = "p2p.clock.offset_ns"
"""The other peer's clock minus ours, in nanoseconds, by what that peer says."""

CLOCK_ERROR_NS: Final = "p2p.clock.error_ns"
"""The true offset is within this many nanoseconds of ``p2p.clock.offset_ns``."""

MESSAGING_SYSTEM: Final = "messaging.system"
"""Always ``libp2p``, a value of our own as the convention allows."""

MESSAGING_BODY_SIZE: Final = "messaging.message.body.size"
"""Size of the message's body, in bytes."""

MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
"""The message's id, 32 hex digits, drawn by its author and signed with it."""

MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
"""What is done with the message, in our words."""

MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
"""What is done with the message, in OpenTelemetry's words."""

MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
"""The gossip topic."""

NETWORK_TRANSPORT: Final = "network.transport"
"""Always ``tcp`` so far."""

NETWORK_PEER_ADDRESS: Final = "network.peer.address"
"""The IP address dialled; of a relayed connection, the relay's."""

EVENT_MESSAGE_SENT_AGAIN: Final = "message.sent_again"
"""The same request went out once more, because the attempt before was in vain. On
``p2p.message.client``."""

# guild

GUILD_MAX_MEMBERS: Final = "guild.max_members"
"""How many members the guild takes at most."""

GUILD_CAPABILITIES: Final = "guild.capabilities"
"""What the guild's members are to offer."""

GUILD_EPOCH: Final = "guild.epoch"
"""Number of the guild's key; it rises with each join, leave and eviction."""

GUILD_KEY_RECIPIENTS: Final = "guild.key.recipients"
"""To how many members the key was wrapped."""

MESSAGE_RECIPIENTS: Final = "message.recipients"
"""For how many members the message is."""

LEAVE_REASON: Final = "leave.reason"
"""Why a member is one no longer."""

DISSOLVE_REASON: Final = "dissolve.reason"
"""Why a guild was dissolved."""

# execution

MODULE_SHA256: Final = "wasm.module.sha256"
"""The module's SHA-256, 64 hex digits."""

MODULE_SIZE: Final = "wasm.module.size"
"""The module's size, in bytes."""

ENTRY_POINT: Final = "wasm.entry_point"
"""The exported function that is called."""

ENGINE_VERSION: Final = "wasm.engine.version"
"""Which WebAssembly engine, and which version."""

TRAP_KIND: Final = "wasm.trap"
"""Why the module trapped, by the engine's name for it."""

FUEL_USED: Final = "wasm.fuel.used"
"""Fuel billed; the whole budget where the true figure is unknown."""

FUEL_LIMIT: Final = "wasm.fuel.limit"
"""Fuel that the task may use."""

MEMORY_PEAK: Final = "wasm.memory.peak"
"""Largest linear memory, in bytes."""

MEMORY_LIMIT: Final = "wasm.memory.limit"
"""Linear memory that the task may have, in bytes."""

CPU_TIME_NS: Final = "process.cpu.time_ns"
"""CPU time of the worker for this task, compiling included, in nanoseconds."""

WALL_TIME_NS: Final = "task.wall_time_ns"
"""From the start of compiling to the end of running, in nanoseconds."""

INPUT_SIZE: Final = "task.input.size"
"""The input's size, in bytes."""

OUTPUT_SHA256: Final = "task.output.sha256"
"""The output's SHA-256, 64 hex digits."""

OUTPUT_SIZE: Final = "task.output.size"
"""The output's size, in bytes."""

OUTCOME: Final = "task.outcome"
"""How the task ended, ``ok`` or the failure's code."""

MANIFEST_NAME: Final = "manifest.name"
"""The task's name, as its manifest has it."""

MANIFEST_SHA256: Final = "manifest.sha256"
"""The manifest's SHA-256, 64 hex digits."""

RECEIPT_SHA256: Final = "receipt.sha256"
"""The signed receipt's SHA-256, 64 hex digits."""

RECEIPT_ENVELOPE: Final = "receipt.envelope"
"""The signed receipt's bytes (at most 4 KiB), so that anyone can verify them."""

WRITTEN_SIZE: Final = "task.output.written_size"
"""All that the module put out, standard error included, in bytes."""

CODE_ORIGIN: Final = "wasm.code.origin"
"""Where a module's native code came from."""

WORKER_BUSY_NS: Final = "worker.busy_time_ns"
"""What the phase took inside worker processes, in nanoseconds."""

LIMIT_USED_RATIO: Final = "limit.used_ratio"
"""Used divided by allowed, 0.8 and more."""

EXIT_CODE: Final = "process.exit.code"
"""The module's exit code."""

EVENT_RECEIPT_ISSUED: Final = "receipt.issued"
"""The executor signed a receipt for the task. On ``execution.receipt.generate``."""

EVENT_HIGH_MEMORY_USAGE: Final = "high_memory_usage"
"""A task's memory came to at least 80 % of what it may have. On
``execution.wasm.execute``, once, when the module has ended."""

EVENT_APPROACHING_TIMEOUT: Final = "approaching_timeout"
"""A task has used 80 % of its wall clock and still runs. On ``execution.wasm.execute``,
once, at that moment."""

EVENT_APPROACHING_FUEL_LIMIT: Final = "approaching_fuel_limit"
"""A task used at least 80 % of its fuel. On ``execution.wasm.execute``, once, when the
module has ended; not after a trap, whose fuel is unknown."""

EVENT_APPROACHING_OUTPUT_LIMIT: Final = "approaching_output_limit"
"""A task put out at least 80 % of what it may. On ``execution.wasm.execute``, once,
when the module has ended."""

# payment

PAYMENT_AMOUNT: Final = "payment.amount"
"""What is paid, in the smallest unit."""

PAYMENT_NONCE: Final = "payment.nonce"
"""The channel state's number."""

PAYMENT_VERIFIED: Final = "payment.verified"
"""This peer found the payment's signatures, amounts and terms right."""

RECEIPT_VERIFIED: Final = "receipt.verified"
"""This peer found the receipt's signature and contents right."""

SIGNATURE_SCHEME: Final = "signature.scheme"
"""How channel states are signed."""

PAYMENT_STATE_BYTES: Final = "payment.state.signed"
"""The co-signed state's bytes (at most 4 KiB)."""

PAYMENT_CLOSING_NONCE: Final = "payment.closing_nonce"
"""The state's number by which the other party wants to close."""

PAYMENT_COOPERATIVE: Final = "payment.cooperative"
"""Both parties signed the end of the channel, so that no window had to pass."""

PAYMENT_SETTLED_PAYMENTS: Final = "payment.settled_payments"
"""How many payments the span records as settled. It links to the span of each."""

PAYMENT_CHAIN_OPERATION: Final = "payment.chain.operation"
"""What the channel contract is told to do."""

PAYMENT_CHAIN_ID: Final = "payment.chain.id"
"""The chain's id."""

PAYMENT_TX_HASH: Final = "payment.tx_hash"
"""The transaction on the chain."""

PAYMENT_BLOCK_NUMBER: Final = "payment.block_number"
"""The block that the transaction is in."""

PAYMENT_GAS_USED: Final = "payment.gas_used"
"""What the transaction took, in units of gas."""

EVENT_PAYMENT_STATE: Final = "payment.state"
"""A channel state that both peers signed; whoever has it can verify it. On
``payment.transaction`` and ``payment.channel.update``. It may pay for other tasks too:
then their ids, receipt hashes and amounts stand in its bytes, and the payee has it on
the ``payment.verify`` of each of them but the first."""

# telemetry

DURATION_MS: Final = "duration.ms"
"""What the caller of ``record_success`` measured, in milliseconds."""

SIZE_BYTES: Final = "size.bytes"
"""How large what was handled is, in bytes."""

COUNT: Final = "count"
"""How many things were handled."""
