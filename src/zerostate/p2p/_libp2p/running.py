"""Starting and stopping a libp2p host."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

import trio
from libp2p.abc import IHost
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

from zerostate.errors import P2PError
from zerostate.evidence.identity import Identity
from zerostate.p2p._libp2p.building import build_gossip, build_host
from zerostate.p2p._libp2p.guard import Guard
from zerostate.p2p._libp2p.host import Libp2pHost
from zerostate.p2p.config import P2PConfig
from zerostate.p2p.host import Host, HostListener, HostOpener
from zerostate.p2p.logs import keep_libp2p_quiet
from zerostate.p2p.tasks import open_background, start_clean

if TYPE_CHECKING:
    from libp2p.network.swarm import Swarm

STOP_TIMEOUT_S: Final = 3.0
"""Longest that an orderly stop may take, in seconds; usually 0.3. libp2p must not just
be cancelled: its listening sockets live in tasks of their own and would stay open."""

_logger: Final = logging.getLogger("zerostate.p2p")


def libp2p_host(config: P2PConfig, identity: Identity) -> HostOpener:
    """Return what opens a libp2p host for `identity`."""
    keep_libp2p_quiet()

    @asynccontextmanager
    async def open_host(listener: HostListener) -> AsyncIterator[Host]:
        async with open_background() as nursery:
            guard = Guard()
            host = build_host(identity, config.listen)
            guard.watch_streams(cast("Swarm", host.get_network()))
            pubsub, router = build_gossip(host, guard)
            wrapped = Libp2pHost(
                host,
                pubsub,
                router,
                listener=listener,
                guard=guard,
                nursery=nursery,
                connect_timeout_s=config.connect_timeout_s,
            )
            service = _Service(host, pubsub, router, guard)
            start_clean(nursery, service.run)
            try:
                await service.running.wait()
                await wrapped.stay_put()
                await wrapped.listen(config.listen)
                yield wrapped
            finally:
                deadline = trio.current_time() + STOP_TIMEOUT_S
                with trio.CancelScope(deadline=deadline, shield=True):
                    await wrapped.aclose()
                    await service.stop()

    return open_host


class _Service:
    """libp2p's own services, in a task of their own."""

    def __init__(
        self, host: IHost, pubsub: Pubsub, router: GossipSub, guard: Guard
    ) -> None:
        self._host = host
        self._guard = guard
        self._pubsub = pubsub
        self._router = router
        self._stopping = trio.Event()
        self._stopped = trio.Event()
        self.running = trio.Event()

    async def run(self) -> None:
        try:
            async with (
                self._host.run(listen_addrs=[]),
                background_trio_service(self._pubsub) as pubsub,
                background_trio_service(self._router) as router,
            ):
                swarm = cast("Swarm", self._host.get_network())
                for manager in (swarm.manager, pubsub, router):
                    self._guard.watch_tasks(manager)
                await self._pubsub.wait_until_ready()
                self.running.set()
                await self._stopping.wait()
                # Leaving the block alone would leave the listening socket open.
                await self._host.close()
        except Exception as exc:
            _logger.exception("libp2p stopped by itself")
            raise P2PError(f"libp2p stopped by itself: {exc!r}") from exc
        finally:
            self._stopped.set()

    async def stop(self) -> None:
        self._stopping.set()
        await self._stopped.wait()
