"""An OTLP/HTTP receiver on loopback that answers as a test's script says."""

import contextlib
import gzip
import socket
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)

_LINGER_RESET = struct.pack("ii", 1, 0)


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def payload(self) -> bytes:
        is_packed = self.headers.get("content-encoding") == "gzip"
        return gzip.decompress(self.body) if is_packed else self.body


@dataclass
class Reply:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Hang:
    """Accepts the request and never answers."""


class Reset:
    """Breaks the connection instead of an answer."""


class Drip:
    """Sends its answer one byte at a time, so that it is never complete."""


class HangUp:
    """Answers, and closes the connection without having said so."""


def partial_success(rejected: int, message: str) -> Reply:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    headers = {"Content-Type": "application/x-protobuf"}
    return Reply(200, headers, response.SerializeToString())


class Receiver:
    """Serves from threads until the `with` block is left."""

    def __init__(self, *script, port: int = 0, context=None) -> None:
        self.script = deque(script)
        self.requests: list[Request] = []
        self.connections = 0
        self._context = context
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}/v1/traces"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)

    def wait_for_requests(self, count: int, timeout_s: float = 10) -> bool:
        with self._arrived:
            return self._arrived.wait_for(
                lambda: len(self.requests) >= count, timeout_s
            )

    def _spawn(self, work, *args) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(connection)
            self.connections += 1
            with connection.makefile("rb") as reader:
                while self._answer(connection, reader):
                    pass
        except OSError:
            pass
        finally:
            connection.close()

    def _answer(self, connection: socket.socket, reader) -> bool:
        request = _read_request(reader)
        if request is None:
            return False
        reply = self.script.popleft() if self.script else Reply()
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        if isinstance(reply, Hang):
            self._closing.wait()
            return False
        if isinstance(reply, Reset):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            return False
        if isinstance(reply, Drip):
            for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000:
                connection.sendall(bytes([byte]))
                if self._closing.wait(0.01):
                    break
            return False
        if isinstance(reply, HangUp):
            connection.sendall(_as_bytes(Reply()))
            return False
        connection.sendall(reply if isinstance(reply, bytes) else _as_bytes(reply))
        return True


def _as_bytes(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} Scripted", f"Content-Length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + reply.body


def _read_request(reader) -> Request | None:
    line = reader.readline()
    if not line:
        return None
    headers = {}
    while (header := reader.readline().strip()) != b"":
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers["content-length"]))
    return Request(line.decode().split(" ")[1], headers, body)
