"""Guilds: a few peers who agree to work on one requester's tasks.

Receives messages from `zerostate.p2p`, hands members and their messages to
`zerostate.node`.
"""

from zerostate.guild.book import EndReason as EndReason
from zerostate.guild.config import GuildConfig as GuildConfig
from zerostate.guild.membership import EXECUTES as EXECUTES
from zerostate.guild.membership import MAX_CAPABILITIES as MAX_CAPABILITIES
from zerostate.guild.membership import MAX_CAPABILITY_CHARS as MAX_CAPABILITY_CHARS
from zerostate.guild.membership import Member as Member
from zerostate.guild.membership import Membership as Membership
from zerostate.guild.service import GuildService as GuildService
from zerostate.guild.service import open_guilds as open_guilds
from zerostate.guild.tracing import GuildTracer as GuildTracer
from zerostate.guild.views import GuildView as GuildView
from zerostate.guild.views import MemberView as MemberView

__all__ = [
    "EXECUTES",
    "MAX_CAPABILITIES",
    "MAX_CAPABILITY_CHARS",
    "EndReason",
    "GuildConfig",
    "GuildService",
    "GuildTracer",
    "GuildView",
    "Member",
    "MemberView",
    "Membership",
    "open_guilds",
]
