"""Whose trace context is honoured: by who signed it, not by what it says.

A caller that is continued without a look can overload us, make us record what it likes,
write into other people's traces, and put words into our baggage (W3C Trace Context,
section 7, "Security Considerations"). So each message's author, once authenticated, is
treated as `TrustPolicy` says; `TrustGate` applies it, charges for it, and counts.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self, TypeVar, final

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, TraceFlags
from opentelemetry.util.types import AttributeValue

from zerostate.clock import Clock, SystemClock
from zerostate.errors import ConfigError
from zerostate.semconv import attributes as attr
from zerostate.telemetry.budget import BucketTable, TokenBucket
from zerostate.telemetry.locks import ForkSafeLock
from zerostate.telemetry.propagation import TraceCarrier
from zerostate.telemetry.sampling.otel_state import otel_state, with_otel_state
from zerostate.telemetry.sampling.restart import restart_trace_state


class Relation(StrEnum):
    """What an authenticated peer is to us."""

    MEMBER = "member"
    """Of a guild that we are in."""

    COUNTERPART = "counterpart"
    """The other party of a payment channel."""

    KNOWN = "known"
    """Named by our operator."""

    STRANGER = "stranger"
    """Anybody; identities are free."""

    BANNED = "banned"
    """Not to be heeded."""


class Treatment(StrEnum):
    """What becomes of a peer's trace context."""

    CONTINUE = "continue"
    """Our span is a child of its span."""

    BUDGET = "budget"
    """Continue within the peer's token bucket; beyond it, restart."""

    RESTART = "restart"
    """Our span starts a trace of its own, with a link to its span."""

    IGNORE = "ignore"
    """Our span starts a trace of its own, and nothing of the peer's is kept."""


_OUTSIDERS: Final = frozenset({Relation.STRANGER, Relation.BANNED})
"""Whose links are paid from the strangers' budgets."""

MAX_BUCKETS: Final = 65_536
"""Upper bound of `TrustPolicy.max_buckets`, some 20 MB of them."""

MAX_RATE_PER_S: Final = 1_000_000.0
"""Upper bound of the rates and bursts: more than one process can act on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustPolicy:
    """How each relation is treated. Plain values, so that a file can hold it."""

    member: Treatment = Treatment.CONTINUE
    """Guild members."""

    counterpart: Treatment = Treatment.CONTINUE
    """Parties of our payment channels."""

    known: Treatment = Treatment.BUDGET
    """Peers that our operator named."""

    stranger: Treatment = Treatment.RESTART
    """All others. Only ``restart`` and ``ignore``."""

    banned: Treatment = Treatment.IGNORE
    """Peers that are not to be heeded. Only ``restart`` and ``ignore``."""

    peer_rate_per_s: float = 100.0
    """Contexts of one peer that are honoured per second: continued under ``budget``, or
    linked if it is a stranger's."""

    peer_burst: float = 1000.0
    """Contexts of one peer that are honoured at once after a pause."""

    stranger_rate_per_s: float = 200.0
    """Contexts of all strangers together that are linked per second."""

    stranger_burst: float = 2000.0
    """Contexts of all strangers together that are linked at once after a pause."""

    stranger_randomness_per_s: float = 1.0
    """Links per second, of all strangers together, whose randomness our new trace takes
    over, to be kept or dropped with theirs; ten may come at once. Whoever may choose
    the randomness can have itself sampled."""

    max_buckets: int = 4096
    """Peers whose bucket is remembered, strangers and others each; the one used longest
    ago is forgotten first."""

    full_context: tuple[Relation, ...] = (Relation.MEMBER,)
    """With whom baggage and tracestate are exchanged. From the others, sampling
    thresholds (``ot``) of a continued trace are kept, nothing else."""

    def __post_init__(self) -> None:
        """Validate.

        Raises:
            ConfigError: Carries every problem, each with its field.
        """
        problems = [*self._words(), *self._problems()]
        if problems:
            raise ConfigError(*problems)

    def _words(self) -> Iterator[str]:
        """Make members of plain words; yield what is none."""
        for relation in Relation:
            given: str = getattr(self, relation.value)
            try:
                object.__setattr__(self, relation.value, Treatment(given))
            except ValueError:
                known = ", ".join(Treatment)
                yield f"trust.{relation}: {given!r} is none of {known}"

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> Self:
        """Return the policy that a JSON or YAML object describes; the rest is default.

        Raises:
            ConfigError: Carries every problem, each with its field.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        problems = [
            f"trust.{key}: unknown; there are {', '.join(sorted(known))}"
            for key in mapping
            if key not in known
        ]
        values: dict[str, object] = {}
        for key in known & mapping.keys():
            try:
                values[key] = _parsed(key, mapping[key])
            except ValueError as exc:
                problems.append(f"trust.{key}: {exc}")
        if problems:
            raise ConfigError(*sorted(problems))
        return cls(**values)  # type: ignore[arg-type]  # parsed by field, checked below

    def to_mapping(self) -> dict[str, object]:
        """Return the policy as JSON has it; `from_mapping` reads it back."""
        values = dataclasses.asdict(self)
        return {
            key: [str(item) for item in value]
            if isinstance(value, tuple)
            else str(value)
            if isinstance(value, StrEnum)
            else value
            for key, value in values.items()
        }

    def treatment(self, relation: Relation) -> Treatment:
        """Return how a peer of that relation is treated."""
        treatment: Treatment = getattr(self, relation.value)
        return treatment

    def _problems(self) -> Iterator[str]:
        for relation in sorted(_OUTSIDERS):
            if self.treatment(relation) in (Treatment.CONTINUE, Treatment.BUDGET):
                yield (
                    f"trust.{relation}: {self.treatment(relation)} would let it pick our"
                    " trace ids; write restart or ignore"
                )
        for name in _RATES:
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= MAX_RATE_PER_S):
                yield f"trust.{name}: {value} is not between 0 and {MAX_RATE_PER_S:g}"
        if not 1 <= self.max_buckets <= MAX_BUCKETS:
            yield (
                f"trust.max_buckets: {self.max_buckets} is not between 1 and"
                f" {MAX_BUCKETS}"
            )
        for relation in sorted(_OUTSIDERS):
            if relation in self.full_context:
                yield f"trust.full_context: {relation} must not be in it"


_Word = TypeVar("_Word", bound=StrEnum)
_RELATIONS: Final = frozenset(relation.value for relation in Relation)
_RATES: Final = (
    "peer_rate_per_s",
    "peer_burst",
    "stranger_rate_per_s",
    "stranger_burst",
    "stranger_randomness_per_s",
)


@dataclass(frozen=True, slots=True)
class Admission:
    """How to open the span for a peer's message."""

    treatment: Treatment
    """What was done: never ``budget``, which ends as ``continue`` or ``restart``."""

    relation: Relation
    """What the peer is to us."""

    context: Context
    """For the span to start in; attach it, so that baggage reaches the handler too."""

    links: tuple[Link, ...]
    """For the span to start with."""

    attributes: Mapping[str, AttributeValue]
    """What the links say about their author; empty if the trace is continued."""


@final
class TrustGate:
    """Applies a policy to what peers send. Safe from any thread; never raises.

    Args:
        policy: How each relation is treated.
        clock: For the token buckets.
    """

    def __init__(
        self, policy: TrustPolicy | None = None, clock: Clock | None = None
    ) -> None:
        self.policy: Final = policy if policy is not None else TrustPolicy()
        self._clock = clock if clock is not None else SystemClock()
        rates = self.policy
        self._peers = self._table()
        self._strangers = self._table()
        self._all_strangers = TokenBucket(
            rates.stranger_rate_per_s,
            rates.stranger_burst,
            self._clock.monotonic_ns(),
        )
        self._randomness = TokenBucket(
            rates.stranger_randomness_per_s,
            min(10.0, rates.stranger_randomness_per_s * 10),
            self._clock.monotonic_ns(),
        )
        self._lock = ForkSafeLock()
        self._counts: Counter[tuple[Relation, Treatment]] = Counter()
        self._exhausted: Counter[Relation] = Counter()

    def admit(
        self,
        carrier: TraceCarrier,
        *,
        author: str,
        relation: Relation,
        forwarder: str | None = None,
        may_continue: bool = True,
    ) -> Admission:
        """Decide about the context of one message.

        Args:
            carrier: The context that the message carried.
            author: Who signed the message; opaque.
            relation: What the author is to us.
            forwarder: Who handed the message on, if somebody else; charged as well.
            may_continue: False where the message is none of our business, so that even
                a trusted author's trace gets a link only.
        """
        wanted = self.policy.treatment(relation)
        is_outsider = relation in _OUTSIDERS
        with self._lock:
            granted = self._granted(wanted, relation, author, forwarder, may_continue)
            self._counts[relation, granted] += 1
            keeps_randomness = granted is Treatment.RESTART and (
                not is_outsider or self._randomness.take(self._clock.monotonic_ns())
            )
        attributes = {attr.LINK_AUTHOR: author, attr.LINK_TRUST: relation.value}
        if granted is Treatment.CONTINUE:
            context = self.visible(carrier, relation).extract()
            return Admission(granted, relation, context, (), {})
        links: tuple[Link, ...] = ()
        if granted is Treatment.RESTART:
            links = _restart_links(carrier, attributes, keeps_randomness)
        return Admission(granted, relation, Context(), links, attributes)

    def visible(self, carrier: TraceCarrier, relation: Relation) -> TraceCarrier:
        """Return what of `carrier` is exchanged with a peer, either way.

        Without full context, baggage goes, and of tracestate all but the sampling
        threshold and randomness, without which the trace would be sampled apart.
        """
        has_more = carrier.tracestate or carrier.baggage
        if not has_more or relation in self.policy.full_context:
            return carrier
        state = carrier.span_context().trace_state
        otel = otel_state(state)._replace(rest=())
        return TraceCarrier(
            carrier.traceparent, with_otel_state(None, otel).to_header()
        )

    def stats(self) -> dict[str, int]:
        """Return how often each treatment was given, as ``<relation>.<treatment>``.

        ``<relation>.exhausted`` is how often a token bucket was empty.
        """
        with self._lock:
            counts = {f"{r}.{t}": n for (r, t), n in self._counts.items()}
            return counts | {f"{r}.exhausted": n for r, n in self._exhausted.items()}

    def _granted(
        self,
        wanted: Treatment,
        relation: Relation,
        author: str,
        forwarder: str | None,
        may_continue: bool,  # noqa: FBT001  # private
    ) -> Treatment:
        payers = {author}
        if forwarder not in (None, author):
            # Not the forwarder's own bucket: honest ones bring what others wrote.
            payers.add(f"via {forwarder}")
        if wanted is Treatment.RESTART and relation in _OUTSIDERS:
            if self._strangers_pay(payers):
                return Treatment.RESTART
            self._exhausted[relation] += 1
            return Treatment.IGNORE
        if wanted is Treatment.BUDGET:
            if _pay(self._peers, payers, self._clock.monotonic_ns()):
                wanted = Treatment.CONTINUE
            else:
                self._exhausted[relation] += 1
                return Treatment.RESTART
        if wanted is Treatment.CONTINUE and not may_continue:
            return Treatment.RESTART
        return wanted

    def _strangers_pay(self, payers: set[str]) -> bool:
        # The bucket of all is asked first, so that fresh identities push out the
        # buckets of others no faster than at the common rate; and it is paid last, so
        # that one exhausted peer does not use up what is for all.
        now_ns = self._clock.monotonic_ns()
        return (
            self._all_strangers.has_token(now_ns)
            and _pay(self._strangers, payers, now_ns)
            and self._all_strangers.take(now_ns)
        )

    def _table(self) -> BucketTable:
        policy = self.policy
        return BucketTable(
            policy.peer_rate_per_s, policy.peer_burst, policy.max_buckets
        )


def _pay(table: BucketTable, payers: set[str], now_ns: int) -> bool:
    if not all(table.has_token(payer, now_ns) for payer in payers):
        return False
    for payer in payers:
        table.take(payer, now_ns)
    return True


def _restart_links(
    carrier: TraceCarrier,
    attributes: Mapping[str, AttributeValue],
    keeps_randomness: bool,  # noqa: FBT001  # private
) -> tuple[Link, ...]:
    span = carrier.span_context()
    if not span.is_valid:
        return ()
    # The sampled flag is the peer's claim; nothing here obeys it, but a link that
    # carries it invites others to.
    linked = SpanContext(
        span.trace_id,
        span.span_id,
        is_remote=True,
        trace_flags=TraceFlags(span.trace_flags & ~TraceFlags.SAMPLED),
        trace_state=restart_trace_state(span) if keeps_randomness else None,
    )
    return (Link(linked, dict(attributes)),)


def _parsed(key: str, value: object) -> object:
    if key == "full_context":
        if not isinstance(value, list | tuple):
            raise ValueError("not a list of relations")
        return tuple(_word(Relation, item) for item in value)
    if key in _RELATIONS:
        return _word(Treatment, value)
    kind = int if key == "max_buckets" else int | float
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"{value!r} is no number")  # noqa: TRY004  # a file's value
    return value


def _word(words: type[_Word], value: object) -> _Word:
    for word in words:
        if word == value:
            return word
    raise ValueError(f"{value!r} is none of {', '.join(words)}")
