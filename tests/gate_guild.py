"""The registry gate's scenario of a guild that lives longer than one task."""

import trio

from zerostate.node.task import WANTED

TIMEOUT_S = 15


async def guild_scenario(world):
    """A guild forms, hearts beat, one member leaves, the creator dissolves it."""
    guilds = {name: layers.guilds for name, layers in world.layers.items()}
    with trio.fail_after(TIMEOUT_S):
        formed = await guilds["requester"].create(wanted=WANTED, members=2)
        guild_id = formed.guild_id
        for each in (guilds["executor"], guilds["member"]):
            await until(lambda each=each: version_of(each, guild_id) == formed.version)
        await until(lambda: has_beaten(world.recorders["member"]))
        await guilds["member"].leave(guild_id)
        await guilds["requester"].dissolve(guild_id)
        await until(lambda: guilds["executor"].show(guild_id).state == "ended")


def version_of(guilds, guild_id):
    return next((v.version for v in guilds.list() if v.guild_id == guild_id), 0)


def has_beaten(recorder):
    return any(span.name == "guild.heartbeat" for span in recorder.spans)


async def until(happened):
    while not happened():  # noqa: ASYNC110  # what is looked at has no event
        await trio.sleep(0.01)
