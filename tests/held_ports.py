"""Ports for servers whose address must be known before they start, or start again."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def held_ports(count: int) -> Iterator[list[int]]:
    """Give ports of the loopback that inside the block only who names one gets.

    A port that is only looked up is anybody's again: another process's connection or
    server may be given it before its own server starts, or while that is killed. Linux
    gives away no port that a socket is bound to, and lets a server that sets
    SO_REUSEADDR listen on it nevertheless, because the socket that holds it does not.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in sockets]
