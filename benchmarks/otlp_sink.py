"""A receiver that takes everything and keeps nothing: `python benchmarks/otlp_sink.py`.

In a process of its own, so that its work is not counted as the exporter's. Prints its
port, then answers OTLP/HTTP (and a Datadog agent's requests) until it is ended. A GET
of ``/bytes`` tells how many bytes of bodies came.
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

received_bytes = 0


class Sink(BaseHTTPRequestHandler):
    """Answers every request with success."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Read and forget the body."""
        global received_bytes  # noqa: PLW0603  # one counter for a one-page program
        received_bytes += self._read_body()
        if self.path.startswith("/v0."):
            self._answer(b'{"rate_by_service":{}}', "application/json")
        else:
            self._answer(b"", "application/x-protobuf")

    do_PUT = do_POST  # noqa: N815  # the standard library's naming

    def do_GET(self) -> None:
        """Tell what came, or what a Datadog agent would say of itself."""
        if self.path == "/bytes":
            self._answer(str(received_bytes).encode(), "text/plain")
            return
        info = {"endpoints": ["/v0.4/traces", "/v0.5/traces"], "client_drop_p0s": False}
        self._answer(json.dumps(info).encode(), "application/json")

    def _read_body(self) -> int:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        total = 0
        while size := int(self.rfile.readline(), 16):
            total += len(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return total

    def _answer(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
