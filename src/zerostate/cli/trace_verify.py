"""``zerostate trace verify``: what spans claim, against what was signed and paid."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final

from zerostate.cli.failures import (
    EXIT_CONFLICTING,
    EXIT_CONTRADICTED,
    EXIT_FORGED,
    EXIT_OK,
    EXIT_UNDECIDED,
    EXIT_UNPAID,
    one_line,
)
from zerostate.cli.query import QueryClient, open_query
from zerostate.cli.settlement import Settlement, settlement_of
from zerostate.cli.trace_claims import read_claims
from zerostate.cli.trace_evidence import take_evidence
from zerostate.cli.trace_rows import Row
from zerostate.cli.trace_verdict import TraceVerdict, Verdict, judge
from zerostate.cli.traces import Trace
from zerostate.errors import InvalidQueryError, TraceNotFoundError
from zerostate.ids import TraceIdHex, parse_trace_id
from zerostate.semconv import spans

MAX_SETTLEMENTS: Final = 8
"""Settlement traces that are read: payer and payee record one each."""

MAX_VALUE_CHARS: Final = 24
"""Longest value in the table; a longer one loses its middle. Where values differ, the
reasons below the table have them whole."""

EXIT_OF: Final[Mapping[Verdict, int]] = {
    "verified": EXIT_OK,
    "differs": EXIT_CONTRADICTED,
    "no evidence": EXIT_UNDECIDED,
    "unpaid": EXIT_UNPAID,
    "forged": EXIT_FORGED,
    "conflicting": EXIT_CONFLICTING,
}
"""Exit code of each verdict."""

_MEANS: Final[Mapping[Verdict, str]] = {
    "verified": "verified: signed as claimed, and paid as signed",
    "differs": "not as it claims",
    "no evidence": "without evidence: nobody signed for what it claims",
    "unpaid": "signed as claimed, but not paid as far as it proves",
    "forged": "forged: what stands in it as evidence is none",
    "conflicting": "in conflict with itself: the same was signed in two ways",
}
_HEADS: Final = ("", "spans claim", "receipt signs", "channel paid", "chain settled")


@dataclass(frozen=True, slots=True)
class StoredStory:
    """A task's trace and those that settle what it paid, as a stack has them."""

    trace: Trace
    settlements: tuple[Trace, ...]


@dataclass(frozen=True, slots=True)
class VerifiedTrace:
    """A verdict and the ways to show it."""

    found: TraceVerdict
    chain: str | None = None
    """The chain that was to be asked."""

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return EXIT_OF[self.found.verdict]

    def as_json(self) -> dict[str, object]:
        """Return the object that ``--json`` prints."""
        found = self.found
        settlement = found.settlement
        return {
            "trace_id": found.trace_id,
            "verdict": found.verdict,
            "reasons": list(found.reasons),
            "rows": [asdict(row) for row in found.rows],
            "receipt": found.receipt and asdict(found.receipt.receipt),
            "payment": _payment_json(found),
            "settlement": settlement and asdict(settlement),
        }

    def lines(self) -> Iterator[tuple[str, bool]]:
        """Yield what people read, each line with whether it speaks against the trace."""
        found = self.found
        yield f"Trace {found.trace_id}", False
        yield from _table(found.rows)
        verdict = _MEANS[found.verdict]
        yield "", False
        yield f"The trace is {verdict}.", found.verdict != "verified"
        for reason in found.reasons:
            yield f"  {one_line(reason)}", True
        settlement = found.settlement
        if self.chain is not None and found.payment is None:
            yield "No chain was asked: no signed state says about which channel.", False
        elif settlement and settlement.trace_ids and settlement.answer is None:
            yield (
                "What it claims of the chain was not asked there (--chain URL).",
                False,
            )


def verify_trace(trace_id: str, *, url: str, chain: str | None = None) -> VerifiedTrace:
    """Verify a stored trace by the evidence that it carries.

    Every signature and binding is verified here; what a span says of them is a claim.

    Args:
        trace_id: 1 to 32 hex digits; short ids are padded with zeros, as Jaeger does.
        url: Page of the stack, with ``?token=`` where it needs one.
        chain: JSON-RPC endpoint of the chain that is asked about the channel; None asks
            none. A trace without a signed state is judged without it.

    Raises:
        InvalidQueryError: `trace_id` is no trace id, or its channel is not on that
            chain.
        ConfigError: `url` or `chain` is no URL.
        TraceNotFoundError: The stack has no such trace.
        QueryError: No stack answers at `url`, or the trace is too large.
        ChainError: The chain does not answer, or has no contract of ours.
    """
    try:
        full_id = parse_trace_id(trace_id)
    except ValueError as exc:
        raise InvalidQueryError(str(exc)) from exc
    story = asyncio.run(_read(full_id, url))
    return VerifiedTrace(verify_story(story, chain=chain), chain)


def verify_story(story: StoredStory, *, chain: str | None = None) -> TraceVerdict:
    """Return the verdict on a trace that was read; see `verify_trace`."""
    trace = story.trace
    claims, evidence = read_claims(trace), take_evidence(trace)
    found = judge(trace.trace_id, claims, evidence)
    payment = found.payment
    claimed = next(iter(claims.of("channel_id")), None)
    channel_id = payment.channel_id if payment else claimed
    settlement = settlement_of(channel_id, story.settlements)
    if chain is not None:
        settlement = _asked(chain, found, settlement)
    return judge(trace.trace_id, claims, evidence, settlement)


async def read_story(query: QueryClient, trace_id: TraceIdHex) -> StoredStory:
    """Return a trace and the settlements that it is linked with.

    Raises:
        TraceNotFoundError: The stack has no such trace.
        QueryError: The stack does not answer.
    """
    trace = await query.trace(trace_id)
    settlements: list[Trace] = []
    for linked in await query.linked_traces(trace_id):
        if linked.root != spans.PAYMENT_CHANNEL_SETTLE.name:
            continue
        if len(settlements) < MAX_SETTLEMENTS:
            try:
                settlements.append(await query.trace(linked.trace_id))
            except TraceNotFoundError:
                # Retention may take it between the two questions.
                continue
    return StoredStory(trace, tuple(settlements))


async def _read(trace_id: TraceIdHex, url: str) -> StoredStory:
    async with open_query(url) as query:
        return await read_story(query, trace_id)


def _asked(url: str, found: TraceVerdict, settlement: Settlement) -> Settlement:
    from zerostate.cli.chain_question import ask_chain  # noqa: PLC0415  # when asked

    if found.payment is None:
        return settlement
    answer = ask_chain(url, found.payment.terms, settlement.tx_hashes)
    return replace(settlement, answer=answer)


def _payment_json(found: TraceVerdict) -> dict[str, object] | None:
    if found.payment is None:
        return None
    terms, update = found.payment.terms, found.payment.update
    return {
        "channel_id": found.payment.channel_id,
        "nonce": update.nonce,
        "net": update.net,
        "task_id": update.task_id,
        "receipt_sha256": update.receipt_sha256,
        "amount": update.amount,
        "payer": terms.payer,
        "payee": terms.payee,
        "chain_id": terms.chain_id,
        "contract": terms.contract,
    }


def _table(rows: tuple[Row, ...]) -> Iterator[tuple[str, bool]]:
    shown = [_HEADS, *(_cells(row) for row in rows)]
    # A column in which nobody says anything is left out.
    columns = [
        index for index in range(len(_HEADS)) if any(line[index] for line in shown[1:])
    ]
    widths = {index: max(len(line[index]) for line in shown) for index in columns}
    verdicts = ["", *(row.verdict for row in rows)]
    for line, verdict in zip(shown, verdicts, strict=True):
        cells = [line[index].ljust(widths[index]) for index in columns]
        yield "  ".join(["", *cells, verdict]).rstrip(), verdict == "differs"


def _cells(row: Row) -> tuple[str, ...]:
    claimed = _short(row.claimed[0]) if row.claimed else ""
    if len(row.claimed) > 1:
        claimed += f" (+{len(row.claimed) - 1})"
    told = (row.signed, row.paid, row.settled)
    return (row.name, claimed, *(_short(each or "") for each in told))


def _short(value: str) -> str:
    text = one_line(value)
    if len(text) <= MAX_VALUE_CHARS:
        return text
    half = (MAX_VALUE_CHARS - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
