"""Sockets taken before anything is started, so that a taken port is told plainly."""

import errno
import ipaddress
import socket
from typing import Final

from zerostate.errors import ConfigError, PortInUseError

BACKLOG: Final = 512
"""Connections that may wait to be accepted."""


IPV4: Final = 4
"""`ipaddress`'s number of IPv4."""


def listen(host: str, port: int, option: str) -> socket.socket:
    """Return a socket that listens on `host` and `port`.

    Args:
        host: An IP address or ``localhost``.
        port: The port, 0 for any that is free.
        option: The command line's name of the port, for the error.

    Raises:
        PortInUseError: Another process has the port.
        ConfigError: The address is none of this machine's, or the port is reserved.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(
            f"host: {host!r} is no address of this machine ({error.strerror}); "
            "change --host"
        ) from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it a restart has to wait for the old connections to time out.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {port} of {host} is in use; stop what uses it, "
                f"or choose another with {option} (0 takes any that is free)"
            ) from error
        raise ConfigError(
            f"port {port} of {host} cannot be listened on ({error.strerror}); "
            f"change --host or {option}"
        ) from error
    listening.setblocking(False)
    return listening


def port_of(listening: socket.socket) -> int:
    """Return the port that a socket listens on."""
    port: int = listening.getsockname()[1]
    return port


def url_host(host: str) -> str:
    """Return how a client on this machine writes `host` in a URL."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == IPV4 else "[::1]"
    return host if address.version == IPV4 else f"[{host}]"
