"""Whether a port is free: libp2p does not tell."""

import socket

from zerostate.errors import PortInUseError


def check_bindable(address: str) -> None:
    """Check that nobody listens on ``/ip4/<ip>/tcp/<port>`` (or ``ip6``).

    libp2p listens with SO_REUSEPORT, so two peers on one port would not fail: each
    would get some of the other's connections.

    Raises:
        PortInUseError: Somebody does, or the address is not this machine's.
    """
    _, version, ip, _, port = address.split("/")
    family = socket.AF_INET6 if version == "ip6" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, int(port)))
        except OSError as exc:
            raise PortInUseError(
                f"cannot listen on {address}: {exc.strerror}; "
                "choose another address in p2p.listen, or port 0 for a free one"
            ) from exc
