"""Connections of the network in memory, direct and through relays."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVarTuple, final

import trio

from zerostate.errors import (
    PeerUnreachableError,
    ProtocolNotSpokenError,
    RelayRefusedError,
)
from zerostate.ids import PeerId
from zerostate.p2p.host import ConnectionPath
from zerostate.p2p.relay_host import RelayLimits, RelayListener

ANSWER_TIMEOUT_S: Final = 3.0
"""Longest wait for a frozen relay, in seconds."""

_Args = TypeVarTuple("_Args")


class LinkEnd(Protocol):
    """As much of a host in memory as its connections need."""

    @property
    def peer_id(self) -> PeerId:
        """Whose host it is."""

    @property
    def port(self) -> int:
        """Where it seems to listen."""

    @property
    def links(self) -> Mapping[PeerId, Sequence["MemoryLink"]]:
        """Its connections."""

    @property
    def relays(self) -> "MemoryRelays":
        """Its part in relaying."""

    async def awake(self) -> None:
        """Return when it is not frozen."""

    def start(self, run: Callable[[*_Args], Awaitable[object]], *args: *_Args) -> None:
        """Run something as long as it runs."""

    def admits(self, peer_id: PeerId | None, *, inbound: bool) -> bool:
        """Whether its owner admits a connection."""

    def hold(self, peer_id: PeerId, link: "MemoryLink") -> None:
        """Note that `link` stands."""

    async def let_go(self, peer_id: PeerId, link: "MemoryLink") -> None:
        """Note that `link` is gone."""

    def direct_link(self, peer_id: PeerId) -> "MemoryLink | None":
        """Return a direct connection with `peer_id`."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryLink:
    """One connection between two hosts."""

    dialler: LinkEnd
    accepter: LinkEnd
    relay: LinkEnd | None = None
    """Who passes it on, as long as it is awake."""

    def path(self, seen_from: LinkEnd) -> ConnectionPath:
        """Return the path as one end sees it."""
        address = f"/ip4/127.0.0.1/tcp/{self.other(seen_from).port}"
        if self.relay is not None:
            address = f"/p2p/{self.relay.peer_id}/p2p-circuit"
        return ConnectionPath(
            relay=None if self.relay is None else self.relay.peer_id,
            address=address,
            dialled=seen_from is self.dialler,
        )

    @property
    def ends(self) -> tuple[PeerId, PeerId]:
        """Both ends."""
        return self.dialler.peer_id, self.accepter.peer_id

    def other(self, host: LinkEnd) -> LinkEnd:
        """Return the end that is not `host`."""
        return self.accepter if host is self.dialler else self.dialler

    async def cut(self) -> None:
        """End the connection at both ends, and what goes through one of them."""
        await self.dialler.let_go(self.accepter.peer_id, self)
        await self.accepter.let_go(self.dialler.peer_id, self)
        if self.relay is not None:
            self.relay.relays.ended(self)
            return
        for host in (self.dialler, self.accepter):
            held = [link for links in host.links.values() for link in links]
            for circuit in held:
                if circuit.relay is self.other(host):
                    await circuit.cut()

    async def passes(self, *, asked_by: LinkEnd | None = None) -> None:
        """Return when both ends, and whoever is between them, are awake.

        Args:
            asked_by: Not waited for. A frozen process finds nobody silent, but the one
                that stands for it here goes on running.
        """
        for host in (self.dialler, self.accepter, self.relay):
            if host is not None and host is not asked_by:
                await host.awake()


def join(
    dialler: LinkEnd, accepter: LinkEnd, relay: LinkEnd | None = None
) -> MemoryLink:
    """Make a connection, if both ends admit it.

    Raises:
        PeerUnreachableError: One of them does not.
    """
    if not (
        accepter.admits(None, inbound=True)
        and dialler.admits(accepter.peer_id, inbound=False)
        and accepter.admits(dialler.peer_id, inbound=True)
    ):
        raise PeerUnreachableError(f"the connection with {accepter.peer_id} is refused")
    link = MemoryLink(dialler, accepter, relay)
    accepter.hold(dialler.peer_id, link)
    dialler.hold(accepter.peer_id, link)
    return link


@dataclass(frozen=True, slots=True)
class _Reservation:
    until: float
    link: MemoryLink


@final
class MemoryRelays:
    """The relaying part of a host in memory; what it passes on is not counted."""

    def __init__(self, host: LinkEnd) -> None:
        self._host = host
        self._listener: RelayListener | None = None
        self._limits: RelayLimits | None = None
        self._reservations: dict[PeerId, _Reservation] = {}
        self._places: dict[PeerId, float] = {}
        self._circuits: set[MemoryLink] = set()

    def start(self, listener: RelayListener, limits: RelayLimits | None) -> None:
        """Begin to take circuits, and with `limits` to relay for others."""
        self._listener = listener
        self._limits = limits

    async def reserve(self, relay: PeerId) -> float:
        """Ask for a place at a relay."""
        link = self._host.direct_link(relay)
        if link is None:
            raise PeerUnreachableError(f"relay {relay} is not connected")
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            await link.passes()
            lifetime_s = link.other(self._host).relays.grant(self._host.peer_id, link)
            self._places[relay] = trio.current_time() + lifetime_s
            return lifetime_s
        raise PeerUnreachableError(f"relay {relay} gave no answer in time")

    def grant(self, source: PeerId, link: MemoryLink) -> float:
        """Give `source` a place here; return for how long, in seconds."""
        listener, limits = self._serving()
        if not listener.relays_for(source):
            raise self._refused(listener, source, "permission_denied")
        for peer_id in [p for p in self._reservations if not self._has_reserved(p)]:
            del self._reservations[peer_id]
        has_room = len(self._reservations) < limits.max_reservations
        if source not in self._reservations and not has_room:
            raise self._refused(listener, source, "reservation_refused")
        until = trio.current_time() + limits.reservation_s
        self._reservations[source] = _Reservation(until, link)
        listener.granted(source)
        return limits.reservation_s

    def forward(self, source: LinkEnd, destination: LinkEnd) -> None:
        """Connect two hosts through this one."""
        listener, limits = self._serving()
        ends = (source.peer_id, destination.peer_id)
        if not all(map(listener.relays_for, ends)):
            raise self._refused(listener, source.peer_id, "permission_denied")
        if not self._has_reserved(destination.peer_id):
            raise self._refused(listener, source.peer_id, "no_reservation")
        of_peer = Counter(end for link in self._circuits for end in link.ends)
        if (
            len(self._circuits) >= limits.max_circuits
            or max(of_peer[end] for end in ends) >= limits.max_circuits_per_peer
        ):
            raise self._refused(listener, source.peer_id, "resource_limit_exceeded")
        with listener.forwarding(*ends):
            link = destination.relays.take(source, self._host)
        self._circuits.add(link)
        self._host.start(self._end_in_time, link, limits.circuit_s)

    def take(self, source: LinkEnd, relay: LinkEnd) -> MemoryLink:
        """Let `source` in, who comes through `relay`."""
        if self._listener is None or not self._has_place_at(relay.peer_id):
            raise RelayRefusedError("there is no place of ours at that relay")
        with self._listener.accepting(relay.peer_id, source.peer_id):
            return join(source, self._host, relay)

    def ended(self, link: MemoryLink) -> None:
        """Note that a circuit through this host is gone."""
        if link in self._circuits:
            self._circuits.discard(link)
            if self._listener is not None:
                self._listener.circuit_ended(0, "closed")

    async def _end_in_time(self, link: MemoryLink, circuit_s: float) -> None:
        await trio.sleep(circuit_s)
        if link in self._circuits and self._listener is not None:
            self._circuits.discard(link)
            self._listener.circuit_ended(0, "time_up")
            await link.cut()

    def _serving(self) -> tuple[RelayListener, RelayLimits]:
        if self._listener is None or self._limits is None:
            raise ProtocolNotSpokenError(f"{self._host.peer_id} is no relay")
        return self._listener, self._limits

    def _has_reserved(self, peer_id: PeerId) -> bool:
        reservation = self._reservations.get(peer_id)
        return (
            reservation is not None
            and trio.current_time() < reservation.until
            and reservation.link in self._host.links.get(peer_id, [])
        )

    def _has_place_at(self, relay: PeerId) -> bool:
        until = self._places.get(relay, 0.0)
        return trio.current_time() < until and relay in self._host.links

    def _refused(
        self, listener: RelayListener, peer_id: PeerId, reason: str
    ) -> RelayRefusedError:
        listener.refused(peer_id, reason)
        return RelayRefusedError(f"the answer is {reason}")
