"""Where the health and metrics server listens."""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final, Self

from typing_extensions import override

_MAX_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class OpsAddress:
    """``127.0.0.1:8470``, ``[::1]:8470`` or ``localhost:8470``, parsed."""

    host: str
    """An IP address."""

    port: int
    """0 takes any that is free."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `text` says.

        Raises:
            ValueError: It is not an IP address, or localhost, with a port.
        """
        host, separator, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if host == "localhost":
            host = "127.0.0.1"
        try:
            ipaddress.ip_address(host)
        except ValueError:
            separator = ""
        if not separator or not port.isascii() or not port.isdecimal():
            raise ValueError(
                f"{text!r} is not an IP address with a port: 127.0.0.1:8470"
            )
        if int(port) > _MAX_PORT:
            raise ValueError(f"{text!r}: no port is above {_MAX_PORT}")
        return cls(host, int(port))

    @override
    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.url_host}:{self.port}"

    @property
    def url_host(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def family(self) -> socket.AddressFamily:
        """IPv4 or IPv6."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback
