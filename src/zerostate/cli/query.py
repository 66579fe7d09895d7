"""Asks a tracing stack's query API."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final
from urllib.parse import parse_qs, urlsplit

from zerostate.cli.failures import one_line
from zerostate.cli.traces import Trace, parse_trace
from zerostate.errors import ConfigError, QueryError, TraceNotFoundError

if TYPE_CHECKING:
    import httpx

DEFAULT_UI_URL: Final = "http://127.0.0.1:16686"
"""Where ``zerostate up`` serves page and query API."""

TIMEOUT_S: Final = 10.0
"""Longest wait for one answer, in seconds."""

MAX_ANSWER_BYTES: Final = 64 << 20
"""Largest answer read, in bytes: some 100,000 spans."""

FIRST_PAUSE_S: Final = 0.03
"""Pause after the first look for a whole trace, in seconds; doubled each time."""

MAX_PAUSE_S: Final = 0.5
"""Longest pause between two looks, in seconds."""

_NOT_FOUND: Final = 404
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class LinkedTrace:
    """Another trace that points to this one, or that this one points to."""

    trace_id: str
    root: str
    """Name of its root span."""
    service: str
    span_names: tuple[str, ...]


@final
class QueryClient:
    """One stack's query API. Use `open_query`."""

    def __init__(self, client: "httpx.AsyncClient", base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    async def trace(self, trace_id: str) -> Trace:
        """Return a stored trace.

        Raises:
            TraceNotFoundError: The stack has no span of it.
            QueryError: No stack answers there, or not as one.
        """
        status, body = await self._get(f"/api/v3/traces/{trace_id}")
        if status == _NOT_FOUND and _is_api_error(body):
            raise TraceNotFoundError(self._no_trace(trace_id))
        trace = parse_trace(self._document(status, body), trace_id)
        if not trace.spans:
            raise TraceNotFoundError(self._no_trace(trace_id))
        return trace

    async def linked_traces(self, trace_id: str) -> tuple[LinkedTrace, ...]:
        """Return the traces linked with this one, in either direction, each once."""
        status, body = await self._get(f"/api/zs/links/{trace_id}")
        return (
            () if status == _NOT_FOUND else _parse_links(self._document(status, body))
        )

    async def losses(self) -> list[str]:
        """Return what the stack's books say of lost spans since it started, in words.

        Empty when they tell of none, or when the stack keeps none.

        Raises:
            QueryError: The stack does not answer.
        """
        status, body = await self._get("/api/zs/ledger")
        return [] if status == _NOT_FOUND else _losses(self._document(status, body))

    async def whole_trace(
        self, trace_id: str, *, timeout_s: float
    ) -> tuple[Trace | None, bool]:
        """Look until the trace has a root and no parent is missing, or time is up.

        Returns:
            The trace as last seen (None: no span came), and whether it is whole.

        Raises:
            QueryError: The stack does not answer.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause_s = FIRST_PAUSE_S
        trace: Trace | None = None
        while True:
            try:
                trace = await self.trace(trace_id)
            except TraceNotFoundError:
                trace = None
            if trace is not None and trace.roots() and not trace.missing_parents():
                return trace, True
            if loop.time() + pause_s > deadline:
                return trace, False
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def page_url(self, trace_id: str) -> str:
        """Return the address of the page that shows the trace."""
        return f"{self._base_url}/trace/{trace_id}"

    async def _get(self, path: str) -> tuple[int, bytes]:
        import httpx  # noqa: PLC0415  # a quarter of a second; not for --help

        try:
            async with self._client.stream("GET", path) as response:
                body = await _read_bounded(response)
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise QueryError(f"no tracing stack answers at {self._base_url}") from exc
        except httpx.HTTPError as exc:
            reason = str(exc) or type(exc).__name__
            raise QueryError(f"{self._base_url} does not answer: {reason}") from exc
        return response.status_code, body

    def _document(self, status: int, body: bytes) -> object:
        if status == _NOT_FOUND:
            raise QueryError(
                f"{self._base_url} is no query API: name the page's address, as the "
                "stack printed it"
            )
        if status != _OK:
            said = one_line(body[:200].decode("utf-8", "replace"))
            raise QueryError(f"{self._base_url} said {status}: {said}")
        try:
            answer: object = json.loads(body)
        except (RecursionError, ValueError) as exc:
            raise QueryError(f"{self._base_url} is not a tracing stack") from exc
        return answer

    def _no_trace(self, trace_id: str) -> str:
        return f"the stack at {self._base_url} has no trace {trace_id}"


@asynccontextmanager
async def open_query(url: str) -> AsyncIterator[QueryClient]:
    """Give a client of the stack whose page is at `url`.

    Args:
        url: As the stack printed it, with ``?token=`` where it needs one. Only the
            loopback or host named there is contacted; proxies are not asked.

    Raises:
        ConfigError: `url` is not an http or https URL.
    """
    import httpx  # noqa: PLC0415  # a quarter of a second; not for --help

    base_url, headers = _split_token(url)
    async with httpx.AsyncClient(
        base_url=base_url,
        headers=headers,
        timeout=TIMEOUT_S,
        # A proxy of the environment's does not know our loopback.
        trust_env=False,
    ) as client:
        yield QueryClient(client, base_url)


def _split_token(url: str) -> tuple[str, Mapping[str, str]]:
    problem = f"--url: {url[:200]!r} is not a URL like {DEFAULT_UI_URL}"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as exc:
        raise ConfigError(problem) from exc
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(problem)
    tokens = parse_qs(parts.query).get("token", [])
    headers = {"Authorization": f"Bearer {tokens[0]}"} if tokens else {}
    return f"{parts.scheme}://{parts.netloc}", headers


async def _read_bounded(response: "httpx.Response") -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise QueryError(f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB")
    return bytes(body)


def _is_api_error(body: bytes) -> bool:
    """Tell Jaeger's own 404 from that of any other server, which has no such path."""
    try:
        answer = json.loads(body)
    except (RecursionError, ValueError):
        return False
    return isinstance(answer, dict) and isinstance(answer.get("error"), dict)


def _losses(books: object) -> list[str]:
    told = []
    match books:
        case {"store": {"failedWrites": int(failed)}} if failed:
            told.append(f"the disk refused {failed} writes")
    for key, what in (
        ("droppedSpans", "spans dropped"),
        ("refusedRequests", "requests refused"),
    ):
        counts = books.get(key) if isinstance(books, dict) else None
        if isinstance(counts, dict) and counts:
            reasons = ", ".join(f"{reason} {count}" for reason, count in counts.items())
            told.append(f"{what}: {one_line(reasons)}")
    return told


def _parse_links(answer: object) -> tuple[LinkedTrace, ...]:
    match answer:
        case {"links": list(links)}:
            parsed = [_parse_link(each) for each in links]
        case _:
            raise QueryError("the answer is not a list of links")
    merged: dict[str, LinkedTrace] = {}
    for link in parsed:
        first = merged.setdefault(link.trace_id, link)
        names = dict.fromkeys(first.span_names + link.span_names)
        merged[link.trace_id] = LinkedTrace(
            first.trace_id, first.root, first.service, tuple(names)
        )
    return tuple(merged.values())


def _parse_link(raw: object) -> LinkedTrace:
    match raw:
        case {"traceId": str(trace_id), **rest}:
            names = rest.get("spanNames") or []
            if isinstance(names, list):
                root, service = (
                    rest.get("rootOperationName"),
                    rest.get("rootServiceName"),
                )
                return LinkedTrace(
                    trace_id,
                    str(root or ""),
                    str(service or ""),
                    tuple(map(str, names)),
                )
    raise QueryError("the answer is not a list of links")
