"""What may be asked of a running node about its guilds, on its control socket."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final, final

from zerostate.errors import GuildNotFoundError, InvalidQueryError, P2PError
from zerostate.guild import MAX_CAPABILITIES, MAX_CAPABILITY_CHARS, GuildService
from zerostate.ids import GuildId, PeerId, parse_guild_id
from zerostate.node.control import Method, Params
from zerostate.node.params import number, text, whole_number
from zerostate.node.progress import Progress

MAX_FORMING_S: Final = 600.0
"""Longest that a caller may wait for a guild's members, in seconds."""


@final
class GuildCommands:
    """The control methods for one node's guilds."""

    def __init__(self, guilds: GuildService, me: PeerId) -> None:
        self._guilds = guilds
        self._me = me

    def methods(self) -> dict[str, Method]:
        """Return each method by its name."""
        return {
            "guild_list": self.list,
            "guild_show": self.show,
            "guild_create": self.create,
            "guild_leave": self.leave,
        }

    async def list(self, _params: Params, _progress: Progress) -> Mapping[str, object]:
        """Tell the open guilds and the last ended ones; see `GuildView`."""
        return {"guilds": [asdict(view) for view in self._guilds.list()]}

    async def show(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """Tell one guild, open or recently ended."""
        return asdict(self._guilds.show(_guild_id(params)))

    async def create(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """Announce a guild and wait until enough have joined.

        ``wanted``: capabilities of which each member offers one; ``members``: how many
        to wait for; ``max_members``: its places, the creator's included, if not one for
        each that is waited for (observers need a place too); ``ttl_s``: its life, in
        seconds; ``timeout_s``: the longest wait.
        """
        ttl_s, places = params.get("ttl_s"), params.get("max_members")
        try:
            formed = await self._guilds.create(
                wanted=_wanted(params),
                members=whole_number(params, "members", 1),
                ttl_s=None if ttl_s is None else number(params, "ttl_s"),
                max_members=(
                    None if places is None else whole_number(params, "max_members", 2)
                ),
                timeout_s=number(params, "timeout_s", 10.0, MAX_FORMING_S),
            )
        except ValueError as exc:
            raise InvalidQueryError(str(exc)) from exc
        return asdict(self._guilds.show(formed.guild_id))

    async def leave(self, params: Params, _progress: Progress) -> Mapping[str, object]:
        """Leave a guild; one of our own is dissolved.

        It is over here in any case; ``untold`` says why others could not be told.
        """
        guild_id = _guild_id(params)
        view = self._guilds.show(guild_id)
        if view.state == "ended":
            raise GuildNotFoundError(f"{guild_id} is over already: {view.end_reason}")
        is_own = view.creator == self._me
        untold: str | None = None
        try:
            if is_own:
                await self._guilds.dissolve(guild_id)
            else:
                await self._guilds.leave(guild_id)
        except P2PError as exc:
            untold = str(exc)
        done = "dissolved" if is_own else "left"
        return {"guild_id": guild_id, "done": done, "untold": untold}


def _guild_id(params: Params) -> GuildId:
    try:
        return parse_guild_id(text(params, "guild_id"))
    except ValueError as exc:
        raise InvalidQueryError(f"guild_id: {exc}") from exc


def _wanted(params: Params) -> tuple[str, ...]:
    wanted = params.get("wanted")
    if not isinstance(wanted, list) or not 0 < len(wanted) <= MAX_CAPABILITIES:
        raise InvalidQueryError(f"wanted: not a list of 1 to {MAX_CAPABILITIES} names")
    for name in wanted:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_CAPABILITY_CHARS:
            raise InvalidQueryError(
                f"wanted: {str(name)[:80]!r} is not a name of 1 to"
                f" {MAX_CAPABILITY_CHARS} characters"
            )
    return tuple(wanted)
