"""Peer addresses as text: ``/ip4/127.0.0.1/tcp/4001/p2p/12D3Koo…``.

The part of libp2p's multiaddr format (https://multiformats.io/multiaddr/) that this
network uses: TCP over IPv4 or IPv6, and a relay in between,
``…/p2p/<relay>/p2p-circuit/p2p/<peer>``. Anything else is refused with a reason.
"""

import ipaddress
from dataclasses import dataclass, replace
from typing import Final

from typing_extensions import override

from zerostate.evidence.identity import parse_peer_id
from zerostate.ids import PeerId

_MAX_PORT: Final = 65_535
_MAX_CHARS: Final = 256
_LISTEN_PARTS: Final = 4
_FULL_PARTS: Final = 6
_IP_VERSIONS: Final = {"ip4": 4, "ip6": 6}


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer listens, and who must answer there."""

    ip: str
    """IPv4 or IPv6 address, canonical."""

    port: int
    """TCP port, 0 to 65535."""

    peer_id: PeerId
    """Whose key the connection must prove."""

    relay: PeerId | None = None
    """Who listens at `ip` and `port` and passes the connection on; None: the peer
    itself listens there."""

    @override
    def __str__(self) -> str:
        """Return the address as text."""
        version = "ip6" if ":" in self.ip else "ip4"
        endpoint = f"/{version}/{self.ip}/tcp/{self.port}"
        if self.relay is None:
            return f"{endpoint}/p2p/{self.peer_id}"
        return f"{endpoint}/p2p/{self.relay}/p2p-circuit/p2p/{self.peer_id}"

    def of_relay(self) -> "PeerAddress | None":
        """Return the relay's own address; None for a direct one."""
        return (
            None
            if self.relay is None
            else replace(self, peer_id=self.relay, relay=None)
        )

    def circuit_to(self, peer_id: PeerId) -> "PeerAddress":
        """Return the address of `peer_id` through the peer that listens here."""
        return replace(self, peer_id=peer_id, relay=self.peer_id)


def parse_peer_address(text: str) -> PeerAddress:
    """Return the parts of the full address `text`.

    Raises:
        ValueError: `text` is not ``/ip4/<ip>/tcp/<port>/p2p/<peer id>`` (or ``ip6``),
            nor that of a relay with ``/p2p-circuit/p2p/<peer id>`` behind it.
    """
    parts = _split(text)
    is_full = len(parts) >= _FULL_PARTS and parts[4] == "p2p"
    is_circuit = parts[_FULL_PARTS:-1] == ["p2p-circuit", "p2p"]
    if not (is_full and (len(parts) == _FULL_PARTS or is_circuit)):
        raise ValueError(
            f"not a peer address: {text[:_MAX_CHARS]!r}; "
            "expected /ip4/<ip>/tcp/<port>/p2p/<peer id>, for a peer behind a relay "
            "the relay's and /p2p-circuit/p2p/<peer id>"
        )
    ip, port = _endpoint(parts, text)
    first, last = parse_peer_id(parts[5]), parse_peer_id(parts[-1])
    if not is_circuit:
        return PeerAddress(ip, port, first)
    if first == last:
        raise ValueError(f"a peer is not its own relay: {text!r}")
    return PeerAddress(ip, port, last, relay=first)


def check_listen_address(text: str) -> None:
    """Check an address to listen on.

    Raises:
        ValueError: `text` is not ``/ip4/<ip>/tcp/<port>`` (or ``ip6``).
    """
    parts = _split(text)
    if len(parts) != _LISTEN_PARTS:
        raise ValueError(
            f"not a listen address: {text[:_MAX_CHARS]!r}; "
            "expected /ip4/<ip>/tcp/<port>, port 0 for any free one"
        )
    _endpoint(parts, text)


def _split(text: str) -> list[str]:
    if len(text) > _MAX_CHARS or not text.startswith("/"):
        return []
    return text[1:].split("/")


def _endpoint(parts: list[str], text: str) -> tuple[str, int]:
    version = _IP_VERSIONS.get(parts[0])
    if version is None or parts[2] != "tcp":
        raise ValueError(f"only /ip4 and /ip6 over /tcp are spoken here: {text!r}")
    ip = ipaddress.ip_address(parts[1])
    if ip.version != version:
        raise ValueError(f"{parts[1]} is not an {parts[0]} address: {text!r}")
    if not (parts[3].isascii() and parts[3].isdigit() and int(parts[3]) <= _MAX_PORT):
        raise ValueError(f"not a TCP port: {parts[3][:40]!r} in {text!r}")
    return str(ip), int(parts[3])
