"""Every error ZeroState raises on purpose, in one tree.

* ZeroStateError
  - ConfigError                 what the operator wrote cannot be started with
  - UnsupportedPlatformError    this part does not run on this operating system
  - WireError                   bytes from outside that we refuse
    . EnvelopeError             not a signed envelope, or a wrong signature
    . MessageRefusedError       well signed, but not to be acted on (expired, replayed …)
    . RecordRefusedError        not a record that belongs under its key in the DHT
    . OtlpDecodeError           not an OTLP export request
  - P2PError
    . PeerUnreachableError*     dial failed or timed out
      + ProtocolNotSpokenError  connected, but it does not speak what we asked for
      + RelayRefusedError*      a relay has no room, or no way to the peer
    . PeerDeniedError           our own allow, deny or ban list is against the peer
    . PeerLostError             a peer we were waiting for went away
    . RequestTimeoutError*      no reply in time
    . RemoteError               the other peer answered with an error
    . OverloadedError*          no room for one more right now, here or at the other peer
    . MessageTooLargeError
    . UnknownMessageTypeError   not in the registry of message types
  - GuildError
    . GuildNotFormedError*      too few members joined in time
    . GuildNotFoundError
    . GuildFullError
    . NotAMemberError
    . GuildEndedError           it was dissolved, expired, or lost its creator
    . GuildRoleError            the member's role does not allow that
    . NoExecutorError           no member offers what the task needs
    . GuildExpiredError         the guild's time is over
    . GuildKeyError             a key or a sealed message that does not open
    . OldEpochError             sealed with a key that was rotated away
    . UnknownEpochError*        sealed with a key that has not come yet
    . GuildLogError             an entry that does not continue the guild's log
  - ExecutionError              each carries the signed receipt, when there is one
    . ManifestError             carries every problem at once
    . ModuleError               not WebAssembly, or asks for what we do not give
    . TrapError                 the module trapped
    . ExitCodeError             the module ended with another exit code than 0
    . OutOfFuelError
    . MemoryLimitError
    . DeadlineError             wall clock used up
    . OutputLimitError
    . WorkerLostError*          the worker process died
    . ExecutorBusyError*        too many tasks wait already
  - PaymentError
    . ChannelNotFoundError
    . InsufficientBalanceError
    . StaleStateError           a nonce that is not the next one
    . ChannelFrozenError        it is being closed or is closed; nothing more is signed
    . ChannelNotFundedError*    its deposit is not on the chain, or not deep enough yet
    . ExposureError             more than one channel may owe us; withdraw a part first
    . SignatureError
    . PriceError                asks for more than was agreed
    . UnpaidTasksError          a requester is to pay for earlier tasks first
    . ChainError                the chain, or the node that we ask, says no
      + ChainUnreachableError*  the chain's node did not answer
      + TransactionRevertedError  the contract refused it
      + InsufficientGasError    the account cannot pay the fee
      + NotConfirmedError*      sent, but not yet deep enough in the chain
      + ReorganisedError        the chain has dropped what it had confirmed
  - EvidenceError               a receipt or state that does not prove what it should
  - TaskDeadlineError           no result in the time the requester gave
  - TaskNotFoundError           the node does not know such a task
  - StoreError
    . StoreUnavailableError*    the disk refused a write
    . StoreLockedError          another process holds the data directory
    . StoreCorruptError
  - QueryError
    . InvalidQueryError
    . TraceNotFoundError
    . TraceIncompleteError      spans of a trace that should be whole never arrived
  - InputFileError              a file the user named cannot be used
  - OutputError                 standard output does not take the result
  - ProcessError                a process that we started did not do its part
    . PortInUseError
    . NodeNotRunningError       no node answers where we were told to ask
  - InternalError               a bug of ours; please report it

(* retryable)

Two facts hang on each class, so that no caller has to match on text: ``code``, a
stable, low-cardinality slug (span attribute ``error.type``, JSON error bodies, the
command line's messages), and ``retryable``, whether the same call may succeed if made
again unchanged. `ERROR_CODES` is the closed list of codes.
"""

from typing import ClassVar, Final


class ZeroStateError(Exception):
    """Base of every error that ZeroState raises on purpose."""

    code: ClassVar[str] = "zerostate"
    retryable: ClassVar[bool] = False


class ConfigError(ZeroStateError):
    """What the operator wrote cannot be started with.

    Attributes:
        problems: Each problem, as ``where: what is wrong, and what to do``.
    """

    code = "config"

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class UnsupportedPlatformError(ZeroStateError):
    """This part does not run on this operating system."""

    code = "unsupported_platform"


class WireError(ZeroStateError):
    """Bytes from outside that we refuse."""

    code = "wire"


class EnvelopeError(WireError):
    """Not a signed envelope, or its signature is wrong."""

    code = "envelope"


class MessageRefusedError(WireError):
    """A well-signed message that must not be acted on.

    Attributes:
        reason: One of the counted reasons (``expired``, ``replayed`` …).
    """

    code = "message_refused"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class RecordRefusedError(WireError):
    """A record of the DHT that must not be kept or believed.

    Attributes:
        reason: One of the counted reasons (``expired``, ``wrong_author`` …).
    """

    code = "record_refused"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class OtlpDecodeError(WireError):
    """Not an OTLP export request."""

    code = "otlp_decode"


class P2PError(ZeroStateError):
    """Something between two peers went wrong."""

    code = "p2p"


class PeerUnreachableError(P2PError):
    """No connection or stream to the peer could be opened in time."""

    code = "peer_unreachable"
    retryable = True


class ProtocolNotSpokenError(PeerUnreachableError):
    """The peer is connected and answers, but does not speak the protocol."""

    code = "protocol_not_spoken"
    retryable = False


class RelayRefusedError(PeerUnreachableError):
    """A relay answers, but has no room for us, or no way to the peer."""

    code = "relay_refused"


class PeerDeniedError(P2PError):
    """Our own allow, deny or ban list is against the peer; nothing was sent."""

    code = "peer_denied"


class PeerLostError(P2PError):
    """A peer that we were waiting for went away."""

    code = "peer_lost"


class RequestTimeoutError(P2PError):
    """The peer did not reply in time; it may or may not have acted."""

    code = "request_timeout"
    retryable = True


class RemoteError(P2PError):
    """The other peer answered with an error.

    Attributes:
        remote_code: The code that the peer gave, one of `ERROR_CODES`.
    """

    code = "remote"

    def __init__(self, remote_code: str, message: str) -> None:
        super().__init__(f"{remote_code}: {message}")
        self.remote_code = remote_code


class OverloadedError(P2PError):
    """No room for one more right now, here or at the other peer; nothing was done."""

    code = "overloaded"
    retryable = True


class MessageTooLargeError(P2PError):
    """A message is larger than its carrier takes; nothing was sent."""

    code = "message_too_large"


class UnknownMessageTypeError(P2PError):
    """A message type that is not in the registry."""

    code = "unknown_message_type"


class GuildError(ZeroStateError):
    """Something between the members of a guild went wrong."""

    code = "guild"


class GuildNotFormedError(GuildError):
    """Too few members joined in time."""

    code = "guild_not_formed"
    retryable = True


class GuildNotFoundError(GuildError):
    """No such guild here."""

    code = "guild_not_found"


class GuildFullError(GuildError):
    """The guild has as many members as it takes."""

    code = "guild_full"


class NotAMemberError(GuildError):
    """The sender is not a member of the guild."""

    code = "not_a_member"


class GuildEndedError(GuildError):
    """The guild has come to its end while something was under way in it.

    Attributes:
        reason: Why, one of `zerostate.guild.book.END_REASONS`.
    """

    code = "guild_ended"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class GuildRoleError(GuildError):
    """The member's role in the guild does not allow that."""

    code = "guild_role"


class NoExecutorError(GuildError):
    """No member offers what the task needs."""

    code = "no_executor"


class GuildExpiredError(GuildError):
    """The guild's time is over."""

    code = "guild_expired"


class GuildKeyError(GuildError):
    """A guild's key, or what was sealed with it, does not open; no key was changed.

    Attributes:
        reason: Stable slug (``malformed``, ``authentication``, ``public_key`` …).
    """

    code = "guild_key"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class OldEpochError(GuildError):
    """Sealed with a key that was rotated away longer ago than the grace.

    Attributes:
        epoch: The epoch of that key.
    """

    code = "old_epoch"

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the key of epoch {epoch} is no longer accepted")
        self.epoch = epoch


class UnknownEpochError(GuildError):
    """Sealed with a key newer than any that this peer holds; it may be on its way.

    Attributes:
        epoch: The epoch of that key.
    """

    code = "unknown_epoch"
    retryable = True

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the key of epoch {epoch} has not come yet")
        self.epoch = epoch


class GuildLogError(GuildError):
    """An entry does not continue the guild's log; the log was not changed.

    Attributes:
        reason: Stable slug (``gap``, ``known``, ``fork``, ``signer`` …).
    """

    code = "guild_log"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class ExecutionError(ZeroStateError):
    """A task did not run to a good end.

    Attributes:
        receipt: The executor's signed receipt of the failure, as an envelope's bytes;
            None when nothing was run.
    """

    code = "execution"

    def __init__(self, message: str, *, receipt: bytes | None = None) -> None:
        super().__init__(message)
        self.receipt = receipt


class ManifestError(ExecutionError):
    """The manifest is not valid.

    Attributes:
        problems: Every problem, as ``field: what is wrong``.
    """

    code = "manifest"

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class ModuleError(ExecutionError):
    """The bytes are not WebAssembly, or ask for what we do not give."""

    code = "invalid_module"


class TrapError(ExecutionError):
    """The module trapped."""

    code = "trap"


class ExitCodeError(ExecutionError):
    """The module ended with another exit code than 0."""

    code = "exit_code"


class OutOfFuelError(ExecutionError):
    """The module used up its fuel."""

    code = "out_of_fuel"


class MemoryLimitError(ExecutionError):
    """The module asked for more memory than it was allowed."""

    code = "memory_limit"


class DeadlineError(ExecutionError):
    """The module used up its wall clock."""

    code = "deadline"


class OutputLimitError(ExecutionError):
    """The module wrote more than it was allowed."""

    code = "output_limit"


class WorkerLostError(ExecutionError):
    """The worker process died under the task."""

    code = "worker_lost"
    retryable = True


class ExecutorBusyError(ExecutionError):
    """Too many tasks wait for a worker already; nothing was run."""

    code = "executor_busy"
    retryable = True


class PaymentError(ZeroStateError):
    """A payment or channel operation was refused; no state was changed."""

    code = "payment"


class ChannelNotFoundError(PaymentError):
    """No such channel here."""

    code = "channel_not_found"


class InsufficientBalanceError(PaymentError):
    """The payer's balance in the channel does not cover the amount."""

    code = "insufficient_balance"


class StaleStateError(PaymentError):
    """The state's nonce is not the next one."""

    code = "stale_state"


class ChannelFrozenError(PaymentError):
    """No state of the channel is signed now: it is closed, being closed, or restored."""

    code = "channel_frozen"


class ChannelNotFundedError(PaymentError):
    """The channel's deposit is not on the chain, or not deep enough in it yet."""

    code = "channel_not_funded"
    retryable = True


class ExposureError(PaymentError):
    """One channel would owe this peer more than it allows; a part is to be withdrawn."""

    code = "exposure"


class SignatureError(PaymentError):
    """A signature is not by whom it should be."""

    code = "signature"


class PriceError(PaymentError):
    """The amount is not what the receipt and the terms allow."""

    code = "price"


class UnpaidTasksError(PaymentError):
    """A requester has left too many tasks unpaid to be given another one."""

    code = "unpaid_tasks"


class ChainError(PaymentError):
    """The chain, or the node through which we reach it, refuses."""

    code = "chain"


class ChainUnreachableError(ChainError):
    """The chain's node did not answer in time, or not as a node should."""

    code = "chain_unreachable"
    retryable = True


class TransactionRevertedError(ChainError):
    """The contract refused a call or a transaction; its state was not changed.

    Attributes:
        reason: The contract's own word (``stale``, ``window over`` …); may be empty.
    """

    code = "transaction_reverted"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{detail}: {reason}" if detail else reason)
        self.reason = reason


class InsufficientGasError(ChainError):
    """The account cannot pay the fee and keep its reserve; nothing was sent."""

    code = "insufficient_gas"


class NotConfirmedError(ChainError):
    """A transaction was sent, but is not deep enough in the chain; it may come yet."""

    code = "not_confirmed"
    retryable = True


class ReorganisedError(ChainError):
    """The chain has dropped a block or transaction that counted as confirmed."""

    code = "reorganised"


class EvidenceError(ZeroStateError):
    """A receipt or channel state does not prove what it should."""

    code = "evidence"


class TaskDeadlineError(ZeroStateError):
    """No result came in the time that the requester gave."""

    code = "task_deadline"


class TaskNotFoundError(ZeroStateError):
    """No such task was submitted to this node, or it has ended too long ago."""

    code = "task_not_found"


class StoreError(ZeroStateError):
    """The trace store could not do it."""

    code = "store"


class StoreUnavailableError(StoreError):
    """The disk refused; nothing was acknowledged."""

    code = "store_unavailable"
    retryable = True


class StoreLockedError(StoreError):
    """Another process holds the data directory."""

    code = "store_locked"


class StoreCorruptError(StoreError):
    """Stored bytes are not what was written."""

    code = "store_corrupt"


class QueryError(ZeroStateError):
    """A query could not be answered."""

    code = "query"


class InvalidQueryError(QueryError):
    """A query parameter is missing or malformed."""

    code = "invalid_query"


class TraceNotFoundError(QueryError):
    """No span of that trace is stored."""

    code = "trace_not_found"


class TraceIncompleteError(QueryError):
    """Spans of a trace that should be whole never arrived."""

    code = "trace_incomplete"


class InputFileError(ZeroStateError):
    """A file that the user named cannot be used."""

    code = "input_file"


class OutputError(ZeroStateError):
    """Standard output does not take the result; some of it may have been written."""

    code = "output"


class ProcessError(ZeroStateError):
    """A process that we started did not do its part."""

    code = "process"


class PortInUseError(ProcessError):
    """A port that we were told to listen on is taken."""

    code = "port_in_use"


class NodeNotRunningError(ProcessError):
    """No node answers at the control socket that we were told to ask."""

    code = "node_not_running"


class InternalError(ZeroStateError):
    """A bug of ours; please report it."""

    code = "internal"


def _codes(cls: type[ZeroStateError]) -> set[str]:
    return {cls.code}.union(*(_codes(sub) for sub in cls.__subclasses__()))


ERROR_CODES: Final = frozenset(_codes(ZeroStateError))
"""The closed list of codes; what ``error.type`` may be for an error of ours."""
