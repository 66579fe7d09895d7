"""Being reached through other peers, and being the one that others go through."""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from typing import Final, final

import trio

from zerostate.errors import P2PError
from zerostate.ids import PeerId
from zerostate.p2p.access import AccessList
from zerostate.p2p.address import PeerAddress, parse_peer_address
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.host import Host
from zerostate.p2p.presence import Presence
from zerostate.p2p.redial import Backoff, Redial
from zerostate.p2p.relay_host import RelayLimits
from zerostate.p2p.tasks import start_clean
from zerostate.p2p.tracing import P2PTracer

RENEW_AT_RATIO: Final = 0.5
"""A reservation is renewed after this part of its life, so that one lost renewal does
not end it."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class Relay:
    """One peer's part in relaying: reservations held, circuits taken and passed on.

    Stays connected with each relay of the configuration, reserves a place there, and
    renews it in time and after each loss.
    """

    def __init__(
        self,
        config: P2PConfig,
        me: PeerId,
        *,
        host: Host,
        presence: Presence,
        access: AccessList,
        redial: Redial,
        tracer: P2PTracer,
        nursery: trio.Nursery,
        counts: Counter[str],
    ) -> None:
        self._config = config
        self._me = me
        self._host = host
        self._presence = presence
        self._access = access
        self._redial = redial
        self._tracer = tracer
        self._nursery = nursery
        self._counts = counts
        self._held_until: dict[PeerId, float] = {}
        self._on_move: Callable[[], None] = lambda: None
        self._relays: dict[PeerId, PeerAddress] = {}

    def start(self) -> None:
        """Begin; called once."""
        self._host.relays.start(self, _limits(self._config))
        for address in self._config.relays:
            self._redial.keep(address)
            relay = parse_peer_address(address)
            if relay.peer_id != self._me and relay.peer_id not in self._relays:
                self._relays[relay.peer_id] = relay
                start_clean(self._nursery, self._keep_reserved, relay.peer_id)

    def watch_addresses(self, on_move: Callable[[], None]) -> None:
        """Call `on_move` whenever `addresses` changes, synchronously."""
        self._on_move = on_move

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where others can reach us through a relay now."""
        return tuple(
            str(self._relays[relay].circuit_to(self._me)) for relay in self._held_until
        )

    async def _keep_reserved(self, relay: PeerId) -> None:
        backoff = Backoff(self._config.redial_after_s, self._config.redial_cap_s)
        for attempt in count():
            await self._presence.wait_here(relay)
            # A relay that refuses is asked for ever, and a good one every half hour.
            pause_s = await self._try_to_reserve(
                relay, backoff, is_background=attempt > 0
            )
            with trio.move_on_after(pause_s):
                await self._presence.wait_lost(relay)
                self._lose(relay)

    async def _try_to_reserve(
        self, relay: PeerId, backoff: Backoff, *, is_background: bool
    ) -> float:
        try:
            with self._tracer.trace_relay(
                "reserve", self._me, relay, relay=relay, is_background=is_background
            ):
                lifetime_s = await self._host.relays.reserve(relay)
        except P2PError as exc:
            self._counts["relay.reservations.failed"] += 1
            _logger.info("no place at relay %s: %s", relay, exc)
            left_s = self._held_until.get(relay, 0.0) - trio.current_time()
            if left_s <= 0:
                self._lose(relay)
            pause_s = backoff.next_s()
            backoff.failures += 1
            return min(pause_s, left_s) if left_s > 0 else pause_s
        if relay in self._presence:
            is_new = relay not in self._held_until
            self._held_until[relay] = trio.current_time() + lifetime_s
            if is_new:
                self._on_move()
            self._counts["relay.reservations.made"] += 1
        backoff.failures = 0
        return RENEW_AT_RATIO * lifetime_s

    def _lose(self, relay: PeerId) -> None:
        if self._held_until.pop(relay, None) is not None:
            self._on_move()

    def relays_for(self, peer_id: PeerId) -> bool:
        """Return whether we relay for `peer_id`."""
        return self._access.refusal(peer_id) is None

    def granted(self, peer_id: PeerId) -> None:
        """Count a reservation that we gave."""
        self._counts["relay.reservations.granted"] += 1
        _logger.debug("relaying for %s", peer_id)

    def forwarding(
        self, source: PeerId, destination: PeerId
    ) -> AbstractContextManager[object]:
        """Cover the making of a circuit through us.

        The circuit's content is sealed, trace context and all: the span is a trace of
        its own, which names who was connected with whom.
        """
        self._counts["relay.circuits.asked"] += 1
        return self._tracer.trace_relay("forward", source, destination, relay=self._me)

    def refused(self, peer_id: PeerId, reason: str) -> None:
        """Count a place or a circuit that we refused."""
        self._counts[f"relay.refused.{reason}"] += 1
        _logger.debug("not relaying for %s: %s", peer_id, reason)

    def circuit_ended(self, passed_bytes: int, reason: str) -> None:
        """Count a circuit through us that has ended."""
        self._counts["relay.bytes"] += passed_bytes
        self._counts[f"relay.circuits.ended.{reason}"] += 1

    def accepting(
        self, relay: PeerId, source: PeerId
    ) -> AbstractContextManager[object]:
        """Cover the handshake of a peer that comes to us through a relay."""
        return self._tracer.trace_relay("accept", source, self._me, relay=relay)


def _limits(config: P2PConfig) -> RelayLimits | None:
    if not config.relay_service:
        return None
    return RelayLimits(
        max_reservations=config.relay_max_reservations,
        max_circuits=config.relay_max_circuits,
        max_circuits_per_peer=config.relay_max_circuits_per_peer,
        circuit_s=config.relay_circuit_s,
        circuit_bytes=config.relay_circuit_bytes,
        reservation_s=config.relay_reservation_s,
    )
