"""One HTTP/1.1 connection that can POST within a deadline.

The standard library's client costs 3 MB of memory and 50 ms to import, bounds each
read but not the whole answer, and cannot be interrupted.
"""

import os
import re
import socket
import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    import ssl

MAX_HEAD_BYTES: Final = 32 * 1024
"""Status line and headers of an answer: above it, no receiver of traces answers."""

MAX_BODY_BYTES: Final = 64 * 1024
"""Of an answer's body, what is read. An OTLP answer has some bytes; after a longer one
the connection is closed."""

_CHUNK_BYTES: Final = 16 * 1024
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: |$)")
_INFORMATIONAL: Final = range(100, 200)
_BODILESS: Final = (204, 304)


class BadAnswerError(OSError):
    """What came back is not HTTP."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    """Names in lower case; of several with one name, the last."""
    body: bytes
    """At most `MAX_BODY_BYTES`."""


@final
class HttpConnection:
    """Keeps one connection open between requests, and opens it when needed.

    The host is ASCII, and all failures of a request are OSErrors. Used by one thread,
    but for `abort`.
    """

    def __init__(
        self, host: str, port: int, context: "ssl.SSLContext | None" = None
    ) -> None:
        self._address = (host, port)
        # As bytes: of text, the resolver would import the codec for international
        # names on the exporting thread, and a fork in the middle of an import leaves
        # its lock held for ever in the child.
        self._lookup = (host.encode("ascii"), port)
        self._context = context
        self._socket: socket.socket | None = None
        self._pending = b""
        self._has_answered = False
        self._lock = threading.Lock()
        self._is_aborted = False

    def post(self, head: bytes, body: bytes, timeout_s: float) -> HttpAnswer:
        """Send one request and return its answer; redirects are not followed.

        A connection that the server closed while it was idle is replaced once.

        Args:
            head: Request line and headers, without the empty line.
            body: The body, of the length that `head` tells.
            timeout_s: For all of it, in seconds; a name's resolution, which cannot be
                interrupted, comes on top.

        Raises:
            TimeoutError: `timeout_s` passed.
            OSError: No connection, or it broke, or the answer is not HTTP.
        """
        deadline = monotonic() + timeout_s
        was_open = self._socket is not None
        try:
            return self._post(head, body, deadline)
        except TimeoutError:
            self.close()
            raise
        except ConnectionError:
            is_stale = was_open and not self._has_answered
            self.close()
            if not is_stale:
                raise
        except OSError:
            self.close()
            raise
        try:
            return self._post(head, body, deadline)
        except OSError:
            self.close()
            raise

    def _post(self, head: bytes, body: bytes, deadline: float) -> HttpAnswer:
        self._has_answered = False
        connection = self._socket or self._connect(deadline)
        request = b"%b\r\n\r\n%b" % (head, body)
        broken: OSError | None = None
        try:
            connection.settimeout(_left(deadline))
            connection.sendall(request)
        except TimeoutError:
            raise
        except OSError as error:
            # A server may answer and hang up before it has read all ("too large").
            broken = error
        try:
            return self._read_answer(connection, deadline)
        except OSError as error:
            raise (broken or error) from error

    def _connect(self, deadline: float) -> socket.socket:
        error: OSError = OSError(f"{self._address[0]} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            *self._lookup, type=socket.SOCK_STREAM
        ):
            connection = socket.socket(family, kind, protocol)
            try:
                self._hold(connection)
                connection.settimeout(_left(deadline))
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context is not None:
                    connection.settimeout(_left(deadline))
                    connection = self._context.wrap_socket(
                        connection, server_hostname=self._address[0]
                    )
                    self._hold(connection)
            except OSError as exc:
                connection.close()
                self.close()
                error = exc
            else:
                self._pending = b""
                return connection
        raise error

    def _hold(self, connection: socket.socket) -> None:
        with self._lock:
            if self._is_aborted:
                raise ConnectionAbortedError("shut down")
            self._socket = connection

    def _read_answer(self, connection: socket.socket, deadline: float) -> HttpAnswer:
        reader = _Reader(connection, self._pending, deadline)
        while True:
            head = reader.until(b"\r\n\r\n", MAX_HEAD_BYTES)
            self._has_answered = True
            version, status, headers = _parse_head(head)
            if status not in _INFORMATIONAL:
                break
        keep, body = _read_body(reader, status, headers)
        choice = headers.get("connection", "").lower()
        if not keep or "close" in choice or (version == 0 and choice != "keep-alive"):
            self.close()
        else:
            self._pending = reader.buffer
        return HttpAnswer(status, headers, body)

    def abort(self) -> None:
        """Break the request under way, and refuse later ones. From any thread."""
        with self._lock:
            self._is_aborted = True
            connection = self._socket
            if connection is not None:
                _hang_up(connection)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        with self._lock:
            connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
        self._pending = b""

    def forget(self) -> None:
        """Close this process's descriptor only, in a forked child.

        The lock may be held by a thread that the child does not have.
        """
        connection, self._socket = self._socket, None
        if connection is not None:
            os.close(connection.detach())


def _hang_up(connection: socket.socket) -> None:
    try:
        # Not the TLS socket's own method, which takes its state from under a reader.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # not connected: nothing to interrupt


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


@final
class _Reader:
    """Reads from a socket until a deadline, however slowly the bytes drip."""

    def __init__(
        self, connection: socket.socket, buffer: bytes, deadline: float
    ) -> None:
        self._socket = connection
        self._deadline = deadline
        self.buffer = buffer

    def _more(self) -> bool:
        self._socket.settimeout(_left(self._deadline))
        chunk = self._socket.recv(_CHUNK_BYTES)
        self.buffer += chunk
        return bool(chunk)

    def until(self, end: bytes, max_bytes: int) -> bytes:
        """Return what comes before `end`, and step over it."""
        while (at := self.buffer.find(end)) < 0:
            if len(self.buffer) > max_bytes:
                raise BadAnswerError(f"no end of a line or header in {max_bytes} bytes")
            if not self._more():
                raise ConnectionResetError("the server hung up")
        found, self.buffer = self.buffer[:at], self.buffer[at + len(end) :]
        return found

    def exactly(self, size: int) -> bytes:
        """Return `size` bytes."""
        while len(self.buffer) < size:
            if not self._more():
                raise ConnectionResetError("the server hung up within its answer")
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def rest(self, max_bytes: int) -> bytes:
        """Return at most `max_bytes` of what comes until the server hangs up."""
        while len(self.buffer) < max_bytes and self._more():
            pass
        return self.buffer[:max_bytes]


def _parse_head(head: bytes) -> tuple[int, int, dict[str, str]]:
    lines = head.split(b"\r\n")
    status_line = _STATUS_LINE.match(lines[0])
    if status_line is None:
        raise BadAnswerError("the answer is not HTTP/1.1")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        key = name.strip().decode("latin-1").lower()
        headers[key] = value.strip().decode("latin-1")
    return int(status_line[1]), int(status_line[2]), headers


def _read_body(
    reader: _Reader, status: int, headers: dict[str, str]
) -> tuple[bool, bytes]:
    """Return whether the connection can be used again, and the body."""
    if status in _BODILESS:
        return True, b""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _read_chunks(reader)
    length = headers.get("content-length")
    if length is None:
        return False, reader.rest(MAX_BODY_BYTES)
    if not (length.isascii() and length.isdigit()):
        raise BadAnswerError("Content-Length is not a number")
    size = int(length[:20])
    if size > MAX_BODY_BYTES:
        return False, reader.exactly(MAX_BODY_BYTES)
    return True, reader.exactly(size)


def _read_chunks(reader: _Reader) -> tuple[bool, bytes]:
    body = b""
    while True:
        text = reader.until(b"\r\n", MAX_HEAD_BYTES).split(b";")[0].strip()
        try:
            size = int(text[:16], 16)
        except ValueError:
            raise BadAnswerError("a chunk has no size") from None
        if size < 0:
            raise BadAnswerError("a chunk has no size")
        if size == 0:
            break
        body += reader.exactly(min(size, MAX_BODY_BYTES - len(body)))
        if len(body) >= MAX_BODY_BYTES:
            return False, body
        reader.until(b"\r\n", MAX_HEAD_BYTES)
    trailer_bytes = 0
    while line := reader.until(b"\r\n", MAX_HEAD_BYTES):
        trailer_bytes += len(line)
        if trailer_bytes > MAX_HEAD_BYTES:
            raise BadAnswerError("trailers without end")
    return True, body
