"""Two halves of a network that can be parted, and joined again."""

import os
import selectors
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, Protocol

Half = Literal[0, 1]

_READ_BYTES: Final = 1 << 16
_POLL_S: Final = 0.05


class Halves(Protocol):
    """How peers of two halves reach each other."""

    def prefix(self, half: Half) -> tuple[str, ...]:
        """Return what a process of that half is started with."""

    def listen_ip(self, half: Half) -> str:
        """Return the address on which peers of that half listen."""

    def endpoint(self, half: Half, target: Half, port: int) -> tuple[str, int]:
        """Return where a peer of `half` reaches a `port` of a peer of `target`."""

    def part(self) -> None:
        """Let nothing through any more, without a word to either side."""

    def join(self) -> None:
        """Let everything through again."""


def may_use_namespaces() -> bool:
    """Return whether this process may make network namespaces."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        return False
    done = subprocess.run(
        ["unshare", "--net", "true"], capture_output=True, check=False
    )
    return done.returncode == 0


class NamespaceHalves:
    """Each half in a network namespace of its own, with one cable between.

    Neither reaches anything else, not even this machine's loopback.
    """

    _IPS: Final = ("10.77.0.1", "10.77.0.2")
    _CABLE: Final = ("zs-half-0", "zs-half-1")

    def __init__(self, pids: tuple[int, int]) -> None:
        self._pids = pids
        first, second = self._CABLE
        self._ip(0, f"link add {first} type veth peer name {second} netns {pids[1]}")
        for half in (0, 1):
            self._ip(half, f"addr add {self._IPS[half]}/24 dev {self._CABLE[half]}")
            self._ip(half, "link set lo up")
        self.join()

    def prefix(self, half: Half) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{self._pids[half]}/ns/net", "--")

    def listen_ip(self, half: Half) -> str:
        return self._IPS[half]

    def endpoint(self, half: Half, target: Half, port: int) -> tuple[str, int]:
        del half
        return self._IPS[target], port

    def part(self) -> None:
        for half in (0, 1):
            self._ip(half, f"link set {self._CABLE[half]} down")

    def join(self) -> None:
        for half in (0, 1):
            self._ip(half, f"link set {self._CABLE[half]} up")

    def _ip(self, half: Half, command: str) -> None:
        subprocess.run([*self.prefix(half), "ip", *command.split()], check=True)


class ProxyHalves:
    """All on the loopback; what crosses goes through proxies of ours."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        self._proxies: dict[int, Proxy] = {}

    def prefix(self, half: Half) -> tuple[str, ...]:
        del half
        return ()

    def listen_ip(self, half: Half) -> str:
        del half
        return "127.0.0.1"

    def endpoint(self, half: Half, target: Half, port: int) -> tuple[str, int]:
        if half == target:
            return "127.0.0.1", port
        if port not in self._proxies:
            self._proxies[port] = self._held.enter_context(running_proxy(port))
        return "127.0.0.1", self._proxies[port].port

    def part(self) -> None:
        for proxy in self._proxies.values():
            proxy.passes.clear()

    def join(self) -> None:
        for proxy in self._proxies.values():
            proxy.passes.set()


class Proxy:
    """Hands on what comes on a port of its own; while it does not, it holds it."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.passes = threading.Event()
        self.passes.set()
        self.ending = threading.Event()

    def run(self) -> None:
        """Hand on until `ending` is set."""
        with selectors.DefaultSelector() as ready, self._listener:
            ready.register(self._listener, selectors.EVENT_READ)
            while not self.ending.is_set():
                if not self.passes.wait(_POLL_S):
                    continue
                for key, _ in ready.select(_POLL_S):
                    if key.fileobj is self._listener:
                        self._accept(ready)
                    elif isinstance(key.fileobj, socket.socket):
                        self._pass(ready, key.fileobj, key.data)
            for key in list(ready.get_map().values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()

    def _accept(self, ready: selectors.BaseSelector) -> None:
        one, _ = self._listener.accept()
        try:
            other = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:
            one.close()
            return
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)

    def _pass(
        self, ready: selectors.BaseSelector, source: socket.socket, sink: socket.socket
    ) -> None:
        with suppress(OSError):
            if data := source.recv(_READ_BYTES):
                sink.sendall(data)
                return
        for each in (source, sink):
            with suppress(KeyError, ValueError):
                ready.unregister(each)
            each.close()


@contextmanager
def running_proxy(target_port: int) -> Iterator[Proxy]:
    """Run a proxy to `target_port` in a thread."""
    proxy = Proxy(target_port)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.ending.set()
        thread.join()


@contextmanager
def namespaces() -> Iterator[NamespaceHalves]:
    """Make two namespaces, which go with the two processes that hold them."""
    with ExitStack() as held:
        pids = tuple(held.enter_context(_holder()) for _ in range(2))
        yield NamespaceHalves(pids)


@contextmanager
def proxies() -> Iterator[ProxyHalves]:
    """Make proxies as they are asked for."""
    with ExitStack() as held:
        yield ProxyHalves(held)


@contextmanager
def _holder() -> Iterator[int]:
    own = Path("/proc/self/ns/net").readlink()
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo made; exec sleep 600"],
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"made\n"
            assert Path(f"/proc/{process.pid}/ns/net").readlink() != own
            yield process.pid
        finally:
            process.kill()
