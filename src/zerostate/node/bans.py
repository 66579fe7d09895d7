"""Whom this peer's operator has banned: kept through a restart."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

import trio

from zerostate.clock import Clock
from zerostate.errors import StoreCorruptError, StoreUnavailableError
from zerostate.evidence.identity import parse_peer_id
from zerostate.ids import PeerId
from zerostate.node.history import replace_file
from zerostate.p2p.access import AccessList
from zerostate.units import NS_PER_S

MAX_FILE_BYTES: Final = 1 << 20
"""Largest file that is read; as many bans as there can be have some 350 KB."""

MAX_END_UNIX_NS: Final = (1 << 63) - 1
"""Latest end of a ban that is read, in nanoseconds since the Unix epoch: in 2262. A later
one, which only an editor writes, is as good as that, and no number to reckon with."""

_VERSION: Final = 1


@final
class Bans:
    """The bans of one peer, each with its end by the wall clock, in a file.

    What could not be written is tried again with the next change.
    """

    def __init__(
        self,
        path: Path,
        access: AccessList,
        clock: Clock,
        *,
        write: Callable[[Path, bytes], None] = replace_file,
    ) -> None:
        self._path = path
        self._access = access
        self._clock = clock
        self._write_file = write
        self._one_at_a_time = trio.Lock()

    def restore(self) -> None:
        """Ban again whom the file names, for what is left of each ban.

        Reads the file in this thread: no banned peer is to be heard meanwhile.

        Raises:
            StoreCorruptError: The file is none of ours, or damaged. Without it, peers
                that were banned would be let in.
        """
        now_ns = self._clock.wall_ns()
        try:
            for peer_id, until_unix_ns in self._read().items():
                left_s = math.inf
                if until_unix_ns is not None:
                    left_s = (until_unix_ns - now_ns) / NS_PER_S
                if left_s > 0:
                    self._access.ban(peer_id, left_s, "banned before the restart")
        except (RecursionError, ValueError) as exc:
            raise StoreCorruptError(
                f"{self._path}: not a list of bans ({exc}); repair it, or remove it to"
                " begin without any"
            ) from exc

    async def ban(self, peer_id: PeerId, for_s: float) -> str | None:
        """Ban `peer_id`, see `AccessList.ban`, and keep that.

        Returns:
            Why the ban, which holds, ends with this process; None: it is kept.

        Raises:
            ValueError: It is our own peer id, or `for_s` is not above 0.
        """
        self._access.ban(peer_id, for_s, "asked for on the control socket")
        return await self._keep()

    async def unban(self, peer_id: PeerId) -> tuple[bool, str | None]:
        """End a ban.

        Returns:
            Whether there was one; and why it will be there again after a restart, None
            if it will not.
        """
        return self._access.unban(peer_id), await self._keep()

    def ends(self) -> dict[PeerId, int | None]:
        """Return when each ban ends, in nanoseconds since the Unix epoch; None: never."""
        now_ns = self._clock.wall_ns()
        return {
            peer_id: None if math.isinf(left_s) else now_ns + round(left_s * NS_PER_S)
            for peer_id, left_s in self._access.bans().items()
        }

    async def _keep(self) -> str | None:
        async with self._one_at_a_time:
            document = {"version": _VERSION, "bans": self.ends()}
            try:
                await trio.to_thread.run_sync(
                    self._write_file, self._path, json.dumps(document).encode()
                )
            except StoreUnavailableError as exc:
                return str(exc)
        return None

    def _read(self) -> dict[PeerId, int | None]:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES)
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise StoreCorruptError(f"{self._path}: {exc.strerror}") from exc
        return _parse(data)


def _parse(data: bytes) -> dict[PeerId, int | None]:
    match json.loads(data):
        case {"version": version, "bans": dict(bans)} if version == _VERSION:
            return {parse_peer_id(who): _end(end) for who, end in bans.items()}
    raise ValueError(f"not an object of version {_VERSION}")


def _end(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a time")
    return max(0, min(value, MAX_END_UNIX_NS))
