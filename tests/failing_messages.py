"""What becomes of a message on its way, when the network fails."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zerostate.errors import RemoteError, RequestTimeoutError
from zerostate.ids import PeerId

if TYPE_CHECKING:
    from two_parties import Side, World


@dataclass
class Fault:
    """What becomes of the next message."""

    loses_request: bool = False
    loses_reply: bool = False
    comes_twice: bool = False
    comes_later: bool = False
    """Also after everything else: it was held up."""

    answers_error: bool = False
    """The handler acted, and what it says is lost to an error after that."""


@dataclass
class Messages:
    """Carries requests from one side to the other, as badly as `faults` says."""

    world: "World"
    sender: "Side"

    async def request(self, peer_id: PeerId, message_type: str, body: bytes) -> bytes:
        world, sender = self.world, self.sender
        sender.point("send")
        fault = world.faults.popleft() if world.faults else Fault()
        receiver = world.side_of(peer_id)
        if fault.comes_later:
            world.held_up.append((sender, receiver, message_type, body))
        if fault.loses_request or fault.comes_later:
            raise RequestTimeoutError("the request was lost")
        reply = await world.handle(sender, receiver, message_type, body)
        if fault.comes_twice:
            reply = await world.handle(sender, receiver, message_type, body)
        if fault.loses_reply:
            raise RequestTimeoutError("the reply was lost")
        if fault.answers_error:
            raise RemoteError("overloaded", "the reply was lost to an error")
        sender.point("reply")
        return reply
