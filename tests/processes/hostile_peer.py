"""A peer that breaks the rules: ``python hostile_peer.py ADDRESS ATTACK=COUNT …``.

Speaks py-libp2p without our layers, as an attacker would. Prints one JSON object: how
many replies each attack got, and with which error codes.
"""

import json
import logging
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from zerostate.errors import GuildNotFoundError
from zerostate.evidence.envelope import seal, unseal
from zerostate.evidence.identity import Identity
from zerostate.guild import messages_pb2 as guild_pb
from zerostate.guild.keys import GRACE_S, EpochKey, new_member_key, unwrap_key
from zerostate.guild.parts import topic_of
from zerostate.guild.requests import JoinRequest, sign_join
from zerostate.guild.sealing import seal_body
from zerostate.ids import GuildId, PeerId, new_guild_id
from zerostate.p2p import wire_pb2 as pb
from zerostate.p2p._libp2p.building import build_gossip, build_host
from zerostate.p2p._libp2p.guard import Guard
from zerostate.p2p.message import DOMAIN, PAYLOAD_TYPE
from zerostate.telemetry.propagation import TraceCarrier

PROTOCOL = "/zerostate/message/1"
ANNOUNCE_TOPIC = "zerostate/guilds/1"
LIFE_NS = 60 * 10**9
REPLY_TIMEOUT_S = 5.0
ANNOUNCE_TIMEOUT_S = 60.0
HOSTILE = "hostile"
"""What the attacker offers to guilds."""

IN_FLIGHT = 32
"""Joins that wait for their refusal at once."""

Ask = Callable[[bytes], Awaitable[None]]


class Hostile:
    """One attacker, connected with one victim."""

    def __init__(
        self, host, pubsub, announcements, identity: Identity, victim: PeerId
    ) -> None:
        self._host = host
        self._pubsub = pubsub
        self._announcements = announcements
        self._identity = identity
        self._victim = victim
        self.replies: Counter[str] = Counter()
        """Replies by error code; ``ok`` for those without."""

    async def attack(self, name: str, count: int) -> None:
        """Run the attack `name`, `count` times."""
        await getattr(self, name)(count)

    # What is refused with the stream that it came on

    async def garbage(self, count: int) -> None:
        for _ in range(count):
            await self._send_alone(_framed(secrets.token_bytes(200)))

    async def oversized(self, count: int) -> None:
        for _ in range(count):
            await self._send_alone((1 << 30).to_bytes(4, "big") + b"x")

    async def wrong_signature(self, count: int) -> None:
        for _ in range(count):
            data = bytearray(self._message())
            data[-1] ^= 1
            await self._send_alone(_framed(bytes(data)))

    async def foreign_author(self, count: int) -> None:
        other = Identity.generate()
        for _ in range(count):
            await self._send_alone(_framed(self._message(signer=other)))

    async def not_addressed(self, count: int) -> None:
        for _ in range(count):
            other = Identity.generate().peer_id
            await self._send_alone(_framed(self._message(to=other)))

    async def unknown_type(self, count: int) -> None:
        for _ in range(count):
            await self._send_alone(_framed(self._message(type="make_me_admin")))

    # What is refused with a reply

    async def expired(self, count: int) -> None:
        past_ns = time.time_ns() - 10**9
        await self._ask_each(
            self._message(expires_unix_ns=past_ns) for _ in range(count)
        )

    async def from_another_time(self, count: int) -> None:
        sent_ns = time.time_ns() - 3600 * 10**9
        await self._ask_each(self._message(sent_unix_ns=sent_ns) for _ in range(count))

    async def replayed(self, count: int) -> None:
        same = self._message()
        await self._ask_each(same for _ in range(count + 1))

    async def joins(self, count: int) -> None:
        def join() -> bytes:
            body = guild_pb.Join(guild_id=new_guild_id(), request=b"let me in")
            return self._message(body=body.SerializeToString())

        await self._ask_each(join() for _ in range(count))

    # What a member of the victim's guild may not do

    async def old_epoch(self, count: int) -> None:
        """Join the victim's next guild, and seal with a key that was rotated away."""
        guild_id, key = await self._join_next()
        await self._join(guild_id)  # with another key: the guild's is rotated
        await trio.sleep(GRACE_S + 1)
        await self._ask_each(
            self._message(
                type="task_request",
                topic=topic_of(guild_id),
                body=self._sealed(guild_id, key),
            )
            for _ in range(count)
        )

    async def _join_next(self) -> tuple[GuildId, EpochKey]:
        """Join the first announced guild that is not over by then."""
        while True:
            guild_id = await self._next_guild()
            with suppress(GuildNotFoundError):
                return guild_id, await self._join(guild_id)

    async def _next_guild(self) -> GuildId:
        with trio.fail_after(ANNOUNCE_TIMEOUT_S):
            while True:
                data = (await self._announcements.get()).data
                if (announced := _opened(data)).type == "guild_announce":
                    body = guild_pb.Announce.FromString(announced.body)
                    return GuildId(body.guild_id)

    async def _join(self, guild_id: GuildId) -> EpochKey:
        """Join or join anew; return the key of the guild from then on."""
        member_key = new_member_key()
        request = JoinRequest(
            guild_id=guild_id,
            creator=self._victim,
            public_key=member_key.public,
            capabilities=(HOSTILE,),
            at_unix_ns=time.time_ns(),
        )
        body = guild_pb.Join(
            guild_id=guild_id, request=sign_join(self._identity, request)
        )
        stream = await self._open()
        await stream.write(_framed(self._message(body=body.SerializeToString())))
        reply = _opened(await _read_frame(stream))
        await stream.reset()
        if reply.error_code:
            raise GuildNotFoundError(f"{reply.error_code}: {reply.error_message}")
        return unwrap_key(
            guild_pb.Joined.FromString(reply.body).wrapped_key,
            guild_id=guild_id,
            me=self._identity.peer_id,
            member_key=member_key,
        )

    def _sealed(self, guild_id: GuildId, key: EpochKey) -> bytes:
        return seal_body(
            key,
            guild_id=guild_id,
            author=self._identity.peer_id,
            message_type="task_request",
            body=b"work for me",
            carrier=TraceCarrier(),
        )

    # What is answered, but whose trace is not gone on with

    async def malformed_trace_header(self, count: int) -> None:
        headers = {"traceparent": "00-zz-zz-zz"}
        await self._ask_each(self._message(headers=headers) for _ in range(count))

    async def strange_trace(self, count: int) -> None:
        headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        await self._ask_each(self._message(headers=headers) for _ in range(count))

    # What comes by gossip

    async def gossip_garbage(self, count: int) -> None:
        for _ in range(count):
            await self._pubsub.publish(ANNOUNCE_TOPIC, secrets.token_bytes(200))
            await trio.sleep(0.02)

    async def gossip_forged(self, count: int) -> None:
        for _ in range(count):
            data = bytearray(
                self._message(type="guild_announce", topic=ANNOUNCE_TOPIC, to="")
            )
            data[-1] ^= 1
            await self._pubsub.publish(ANNOUNCE_TOPIC, bytes(data))
            await trio.sleep(0.02)

    def _message(self, *, signer: Identity | None = None, **fields) -> bytes:
        identity = signer or self._identity
        now_ns = time.time_ns()
        sent_ns = fields.pop("sent_unix_ns", now_ns)
        wire = {
            "id": secrets.token_bytes(16),
            "type": "guild_join",
            "from": identity.peer_id,
            "to": self._victim,
            "sent_unix_ns": sent_ns,
            "expires_unix_ns": sent_ns + LIFE_NS,
            "body": guild_pb.Join(guild_id=new_guild_id()).SerializeToString(),
        }
        payload = pb.Message(**(wire | fields)).SerializeToString(deterministic=True)
        return seal(identity, domain=DOMAIN, payload_type=PAYLOAD_TYPE, payload=payload)

    async def _send_alone(self, data: bytes) -> None:
        """Send on a stream of its own, until the victim ends it."""
        stream = await self._open()
        with suppress(BaseLibp2pError):
            await stream.write(data)
            with trio.move_on_after(REPLY_TIMEOUT_S):
                while await stream.read(1 << 16):
                    """A reply would be a surprise; the end is what we wait for."""
        with suppress(BaseLibp2pError):
            await stream.reset()

    async def _ask_each(self, messages) -> None:
        """Send requests on one stream, and count their replies by error code."""
        stream = await self._open()
        room = trio.Semaphore(IN_FLIGHT)

        async with trio.open_nursery() as nursery:

            async def read() -> None:
                while True:
                    reply = _opened(await _read_frame(stream))
                    self.replies[reply.error_code or "ok"] += 1
                    room.release()

            nursery.start_soon(read)
            for data in messages:
                await room.acquire()
                await stream.write(_framed(data))
            with trio.fail_after(REPLY_TIMEOUT_S):
                for _ in range(IN_FLIGHT):
                    await room.acquire()
            nursery.cancel_scope.cancel()
        with suppress(BaseLibp2pError):
            await stream.reset()

    async def _open(self):
        return await self._host.new_stream(ID.from_string(self._victim), [PROTOCOL])


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


async def _read_frame(stream) -> bytes:
    size = int.from_bytes(await _read_exactly(stream, 4), "big")
    return await _read_exactly(stream, size)


async def _read_exactly(stream, size: int) -> bytes:
    gathered = b""
    while len(gathered) < size:
        part = await stream.read(size - len(gathered))
        if not part:
            raise EOFError
        gathered += part
    return gathered


def _opened(envelope: bytes) -> pb.Message:
    payload = unseal(envelope, domain=DOMAIN, payload_type=PAYLOAD_TYPE).payload
    return pb.Message.FromString(payload)


@asynccontextmanager
async def connected_with(address: str):
    """Run a bare libp2p host that is connected with the victim at `address`."""
    identity = Identity.generate()
    host = build_host(identity, ())
    pubsub, router = build_gossip(host, Guard())
    async with (
        host.run(listen_addrs=[]),
        background_trio_service(pubsub),
        background_trio_service(router),
    ):
        await pubsub.wait_until_ready()
        await host.connect(info_from_p2p_addr(Multiaddr(address)))
        announcements = await pubsub.subscribe(ANNOUNCE_TOPIC)
        await trio.sleep(1.5)  # until gossipsub's next heartbeat has made a mesh
        victim = PeerId(address.rpartition("/")[2])
        yield Hostile(host, pubsub, announcements, identity, victim)


async def main(address: str, attacks: dict[str, int]) -> None:
    """Run all attacks, one after another, and tell what came back."""
    told = {}
    async with connected_with(address) as hostile:
        for name, count in attacks.items():
            hostile.replies.clear()
            await hostile.attack(name, count)
            told[name] = dict(hostile.replies)
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()  # libp2p reports at ERROR what an attacker expects
    wanted = (argument.partition("=") for argument in sys.argv[2:])
    trio.run(main, sys.argv[1], {name: int(count) for name, _, count in wanted})
