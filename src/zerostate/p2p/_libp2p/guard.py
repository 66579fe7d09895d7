"""What stands between a peer's bytes and the life of the host.

In libp2p 0.8.1 an exception of any stream handler, its own included, or of any task of
a service, ends that service, and with it the host: six bytes that are no protobuf did.
So everything that libp2p runs for one peer passes through here, whatever the protocol.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, final

import trio
from libp2p.abc import IMuxedConn, INetConn, INetStream
from libp2p.tools.anyio_service.trio_manager import TrioManager

from zerostate.p2p._libp2p.failures import FOREIGN
from zerostate.p2p._libp2p.unread import has_room_for_stream

if TYPE_CHECKING:
    from libp2p.network.swarm import Swarm

END_TIMEOUT_S: Final = 1.0
"""Longest that ending what has failed may take, in seconds."""

_logger: Final = logging.getLogger("zerostate.p2p")


@final
class Guard:
    """Ends what has failed, counts it, and lets the host live. Cancellation passes.

    Counted are ``transport.streams_broken`` and ``transport.tasks_broken`` when the
    network was at fault, as it is when a peer goes; ``transport.streams_failed`` and
    ``transport.tasks_failed`` when it was anything else: bytes that no handler
    expects, or a bug. ``transport.streams_refused`` are those above
    `zerostate.p2p._libp2p.unread.MAX_STREAMS`.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._told: set[tuple[str, type[Exception]]] = set()

    @property
    def counts(self) -> Mapping[str, int]:
        """How often what has failed."""
        return dict(self._counts)

    def watch_streams(self, swarm: "Swarm") -> None:
        """Guard all streams that peers open on `swarm`, from their negotiation on.

        Must be called after `swarm` was given its host.
        """
        serve = swarm.common_stream_handler

        async def serve_guarded(stream: INetStream) -> None:
            if not has_room_for_stream(stream.muxed_conn):
                self.count("transport.streams_refused")
                await self._end(stream.reset)
                return
            try:
                await serve(stream)
            except Exception as exc:  # noqa: BLE001  # the top of a peer's stream
                self.note("streams", stream.get_protocol() or "negotiation", exc)
                await self._end(stream.reset)

        swarm.set_stream_handler(serve_guarded)

    def watch_tasks(self, manager: object) -> None:
        """Guard each task of a running service, except those that are its loops.

        A connection whose task has failed is closed. A loop serves everybody: without
        it the service would only seem to live, so its failure ends the host, as before.
        """
        if not isinstance(manager, TrioManager):
            raise TypeError(f"not a service's manager: {type(manager).__name__}")
        start = manager.run_task

        def run_guarded(
            run: Callable[..., Awaitable[object]],
            *args: object,
            daemon: bool = False,
            name: str | None = None,
            _internal: bool = False,
        ) -> None:
            if daemon or _internal:
                start(run, *args, daemon=daemon, name=name, _internal=_internal)
                return
            what = name or str(getattr(run, "__qualname__", type(run).__name__))

            async def guarded() -> None:
                try:
                    await run(*args)
                except Exception as exc:  # noqa: BLE001  # the top of a task
                    self.note("tasks", what, exc)
                    owner = getattr(run, "__self__", None)
                    if isinstance(owner, INetConn | IMuxedConn):
                        await self._end(owner.close)

            start(guarded, name=what)

        manager.run_task = run_guarded  # type: ignore[method-assign, assignment]  # there is no other way in; libp2p is pinned

    def count(self, name: str) -> None:
        """Count something else that a peer did, under `name`."""
        self._counts[name] += 1

    def note(self, kind: str, what: str, exc: Exception) -> None:
        """Count and log a failure.

        Args:
            kind: ``streams`` or ``tasks``.
            what: Which, for people; one of a few names.
            exc: Why.
        """
        if _is_foreign(exc):
            self._counts[f"transport.{kind}_broken"] += 1
            _logger.debug("%s: %r", what, exc)
            return
        self._counts[f"transport.{kind}_failed"] += 1
        # In full only once: a stranger may repeat it as fast as the network allows.
        first = (what, type(exc)) not in self._told
        self._told.add((what, type(exc)))
        level = logging.WARNING if first else logging.DEBUG
        _logger.log(level, "%s failed and was ended", what, exc_info=exc)

    async def _end(self, end: Callable[[], Awaitable[object]]) -> None:
        with trio.CancelScope(
            deadline=trio.current_time() + END_TIMEOUT_S, shield=True
        ):
            try:
                await end()
            except Exception as exc:  # noqa: BLE001  # it has failed already
                _logger.debug("what has failed does not end well: %r", exc)


def _is_foreign(exc: Exception) -> bool:
    if isinstance(exc, ExceptionGroup):
        return exc.split(FOREIGN)[1] is None
    return isinstance(exc, FOREIGN)
