"""Channels, as a node tells them, in lines for people."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from zerostate.cli.columns import columns, span_of
from zerostate.errors import ProcessError
from zerostate.units import NS_PER_S

_PEER_TAIL_CHARS: Final = 8
"""The end of a peer id tells more than its beginning, which is the same for all."""


@dataclass(frozen=True, slots=True)
class SettlementEntry:
    """How a channel ended."""

    tx_hash: str
    block_number: int
    gas_used: int
    cooperative: bool
    net: int
    claimed: int
    trace_id: str
    trace_url: str | None

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Return what a node has told.

        Raises:
            ProcessError: It is no settlement.
        """
        match raw:
            case {
                "tx_hash": str(tx_hash),
                "block_number": int(block_number),
                "gas_used": int(gas_used),
                "cooperative": bool(cooperative),
                "net": int(net),
                "claimed": int(claimed),
                "trace_id": str(trace_id),
                "trace_url": None | str() as trace_url,
            }:
                return cls(
                    tx_hash=tx_hash,
                    block_number=block_number,
                    gas_used=gas_used,
                    cooperative=cooperative,
                    net=net,
                    claimed=claimed,
                    trace_id=trace_id,
                    trace_url=trace_url,
                )
        raise ProcessError("the node told something that is no settlement")


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """One channel, as its node knows it (`zerostate.payment.model.ChannelView`)."""

    channel_id: str
    peer_id: str
    role: str
    phase: str
    funded: bool
    deposits: tuple[int, int]
    """The payer's and the payee's, as the following pair."""
    withdrawn: tuple[int, int]
    paid: int
    nonce: int
    window_s: int
    expires_unix_s: int
    deadline_s: int
    tx_hash: str
    settlement: SettlementEntry | None
    in_flight: int
    is_compared: bool

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Return what a node has told.

        Raises:
            ProcessError: It is no channel.
        """
        match raw:
            case {
                "channel_id": str(channel_id),
                "peer_id": str(peer_id),
                "role": str(role),
                "phase": str(phase),
                "funded": bool(funded),
                "deposit": int(deposit),
                "deposit_payee": int(deposit_payee),
                "paid": int(paid),
                "withdrawn_payer": int(withdrawn_payer),
                "withdrawn_payee": int(withdrawn_payee),
                "nonce": int(nonce),
                "window_s": int(window_s),
                "expires_unix_s": int(expires_unix_s),
                "deadline_s": int(deadline_s),
                "tx_hash": str(tx_hash),
                "settlement": settlement,
                "in_flight": int(in_flight),
                "is_compared": bool(is_compared),
            }:
                return cls(
                    channel_id=channel_id,
                    peer_id=peer_id,
                    role=role,
                    phase=phase,
                    funded=funded,
                    deposits=(deposit, deposit_payee),
                    withdrawn=(withdrawn_payer, withdrawn_payee),
                    paid=paid,
                    nonce=nonce,
                    window_s=window_s,
                    expires_unix_s=expires_unix_s,
                    deadline_s=deadline_s,
                    tx_hash=tx_hash,
                    settlement=None
                    if settlement is None
                    else SettlementEntry.parse(settlement),
                    in_flight=in_flight,
                    is_compared=is_compared,
                )
        raise ProcessError("the node told something that is no channel")

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.settlement is not None or self.phase == "settled"


def table(channels: Sequence[ChannelEntry], *, now_unix_ns: int) -> Iterator[str]:
    """Yield one line a channel, under a heading; a line that says so without any."""
    if not channels:
        yield "No channels."
        return
    rows: list[Sequence[str]] = [
        ("CHANNEL", "PEER", "ROLE", "PHASE", "DEPOSIT", "PAID", "TIME")
    ]
    rows += [
        (
            channel.channel_id,
            f"…{channel.peer_id[-_PEER_TAIL_CHARS:]}",
            channel.role,
            _phase(channel),
            str(sum(channel.deposits)),
            str(channel.paid),
            _time(channel, now_unix_ns),
        )
        for channel in channels
    ]
    yield from columns(rows)


def details(channel: ChannelEntry, *, now_unix_ns: int) -> Iterator[str]:
    """Yield all that is known of one channel."""
    facts = {
        "Channel": channel.channel_id,
        "Phase": _phase(channel),
        "Peer": channel.peer_id,
        "Our role": channel.role,
        "Deposit": _pair(channel.deposits),
        "Paid": str(channel.paid),
        "Withdrawn": _pair(channel.withdrawn),
        "In flight": _in_flight(channel),
        "Nonce": str(channel.nonce) if channel.nonce >= 0 else "none yet",
    }
    if not channel.is_compared:
        facts["Restored"] = (
            "from a backup; nothing is signed before the other end has told its newest"
            " state, which is asked for when it connects"
        )
    if channel.funded or channel.window_s:
        facts["Window"] = span_of(channel.window_s)
        facts["Expires"] = _moment(channel.expires_unix_s, now_unix_ns)
    if channel.deadline_s and not channel.is_over:
        facts["Deadline"] = _moment(channel.deadline_s, now_unix_ns)
    if channel.tx_hash:
        facts["Transaction"] = channel.tx_hash
    facts |= _settlement(channel.settlement)
    yield from columns(facts.items())


def transaction(raw: object) -> Iterator[str]:
    """Yield what became of a transaction.

    Raises:
        ProcessError: It is no transaction.
    """
    match raw:
        case {
            "tx_hash": str(tx_hash),
            "block_number": int(block_number),
            "gas_used": int(gas_used),
            "fee_wei": int(fee_wei),
        }:
            facts = {
                "Transaction": tx_hash,
                "Block": str(block_number),
                "Gas": f"{gas_used}, for {fee_wei} wei",
            }
            yield from columns(facts.items())
        case _:
            raise ProcessError("the node told something that is no transaction")


def _settlement(settlement: SettlementEntry | None) -> dict[str, str]:
    if settlement is None:
        return {}
    how = "by both" if settlement.cooperative else "by one end, after the window"
    return {
        "Settled": f"{how}, for {settlement.gas_used} gas",
        "Settled in": f"{settlement.tx_hash} (block {settlement.block_number})",
        "Settled net": str(settlement.net),
        "Claimed": str(settlement.claimed),
        "Trace": settlement.trace_url or settlement.trace_id or "none",
    }


def _in_flight(channel: ChannelEntry) -> str:
    if not channel.in_flight:
        return "nothing"
    return f"{channel.in_flight}, which the payee has not signed"


def _phase(channel: ChannelEntry) -> str:
    if not channel.is_compared:
        return f"{channel.phase} (restored)"
    is_promise = not channel.funded and not channel.window_s
    return f"{channel.phase} (promise)" if is_promise else channel.phase


def _pair(amounts: tuple[int, int]) -> str:
    payer, payee = amounts
    return f"{payer} of the payer, {payee} of the payee" if payee else str(payer)


def _time(channel: ChannelEntry, now_unix_ns: int) -> str:
    if channel.is_over or not channel.expires_unix_s:
        return "-"
    end_s = channel.deadline_s or channel.expires_unix_s
    left_s = end_s - now_unix_ns / NS_PER_S
    what = "window" if channel.deadline_s else "expires"
    return f"{what}: {span_of(left_s)} left" if left_s > 0 else f"{what}: over"


def _moment(unix_s: int, now_unix_ns: int) -> str:
    left_s = unix_s - now_unix_ns / NS_PER_S
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(unix_s))
    return f"{at} ({span_of(left_s)} left)" if left_s > 0 else f"{at} (over)"
