"""Peers and bans, as a node tells them, in lines for people."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from zerostate.cli.columns import columns, span_of
from zerostate.errors import ProcessError
from zerostate.units import NS_PER_S

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """One peer that a node is connected with."""

    peer_id: str
    address: str | None
    relay: str | None
    round_trip_s: float | None
    clock_offset_ns: int | None

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Return what a node has told.

        Raises:
            ProcessError: It is no peer.
        """
        match raw:
            case {
                "peer_id": str(peer_id),
                "address": None | str() as address,
                "relay": None | str() as relay,
                "round_trip_s": None | int() | float() as round_trip_s,
                "clock_offset_ns": None | int() as clock_offset_ns,
            }:
                return cls(
                    peer_id=peer_id,
                    address=address,
                    relay=relay,
                    round_trip_s=round_trip_s,
                    clock_offset_ns=clock_offset_ns,
                )
        raise ProcessError("the node told something that is no peer")


def peers_and_bans(answer: Mapping[str, object], now_unix_ns: int) -> Iterator[str]:
    """Yield who is connected and who is banned.

    Raises:
        ProcessError: The answer is something else.
    """
    match answer:
        case {"count": int(count), "peers": list(peers), "bans": list(bans)}:
            yield from _peers([PeerEntry.parse(raw) for raw in peers], count)
            if bans:
                yield ""
                rows = [("BANNED", "ENDS")]
                rows += [_ban(raw, now_unix_ns) for raw in bans]
                yield from columns(rows)
            return
    raise ProcessError("the node told something that is no list of peers")


def ban_told(answer: Mapping[str, object], now_unix_ns: int) -> str:
    """Return what came of a ban.

    Raises:
        ProcessError: The answer is something else.
    """
    who, ends = _ban(answer, now_unix_ns)
    return f"banned {who}; ends {ends}"


def _peers(peers: list[PeerEntry], count: int) -> Iterator[str]:
    if not peers:
        yield "no peer is connected"
        return
    rows = [("PEER", "PATH", "ROUND TRIP", "CLOCK")]
    rows += [
        (peer.peer_id, _path(peer), _round_trip(peer), _clock(peer)) for peer in peers
    ]
    yield from columns(rows)
    if count > len(peers):
        yield f"… and {count - len(peers)} more"


def _path(peer: PeerEntry) -> str:
    return peer.address or "-" if peer.relay is None else f"relay {peer.relay}"


def _round_trip(peer: PeerEntry) -> str:
    return "-" if peer.round_trip_s is None else f"{peer.round_trip_s * 1000:.1f} ms"


def _clock(peer: PeerEntry) -> str:
    offset_ns = peer.clock_offset_ns
    return "-" if offset_ns is None else f"{offset_ns / _NS_PER_MS:+.1f} ms"


def _ban(raw: object, now_unix_ns: int) -> tuple[str, str]:
    match raw:
        case {"peer_id": str(peer_id), "until_unix_ns": None}:
            return peer_id, "never"
        case {"peer_id": str(peer_id), "until_unix_ns": int(until_unix_ns)}:
            return peer_id, f"in {span_of((until_unix_ns - now_unix_ns) / NS_PER_S)}"
    raise ProcessError("the node told something that is no ban")
