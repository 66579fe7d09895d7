"""Identifiers, as distinct types, with the parsers that let them in."""

import re
import secrets
from typing import Final, NewType

PeerId = NewType("PeerId", str)
"""A libp2p peer id, base58 (``12D3Koo…``)."""

GuildId = NewType("GuildId", str)
"""``guild-`` and 32 lower-case hex digits."""

TaskId = NewType("TaskId", str)
"""``task-`` and 32 lower-case hex digits."""

ChannelId = NewType("ChannelId", str)
"""``0x`` and 64 lower-case hex digits: the channel's bytes32 in EIP-712."""

MessageId = NewType("MessageId", bytes)
"""16 random bytes, unique for an author."""

TraceIdHex = NewType("TraceIdHex", str)
"""A W3C trace id, 32 lower-case hex digits, not all zero."""

_GUILD: Final = re.compile(r"guild-[0-9a-f]{32}")
_TASK: Final = re.compile(r"task-[0-9a-f]{32}")
_CHANNEL: Final = re.compile(r"0x[0-9a-f]{64}")
_TRACE: Final = re.compile(r"[0-9a-f]{1,32}")

MESSAGE_ID_BYTES: Final = 16
"""Length of a `MessageId`."""


def new_guild_id() -> GuildId:
    """Return a fresh random guild id."""
    return GuildId(f"guild-{secrets.token_hex(16)}")


def new_task_id() -> TaskId:
    """Return a fresh random task id."""
    return TaskId(f"task-{secrets.token_hex(16)}")


def new_channel_id() -> ChannelId:
    """Return a fresh random channel id."""
    return ChannelId(f"0x{secrets.token_hex(32)}")


def new_message_id() -> MessageId:
    """Return a fresh random message id."""
    return MessageId(secrets.token_bytes(MESSAGE_ID_BYTES))


def parse_guild_id(text: str) -> GuildId:
    """Return `text` as a guild id.

    Raises:
        ValueError: `text` is not ``guild-`` and 32 hex digits.
    """
    if _GUILD.fullmatch(text) is None:
        raise ValueError(f"not a guild id: {text[:80]!r}")
    return GuildId(text)


def parse_task_id(text: str) -> TaskId:
    """Return `text` as a task id.

    Raises:
        ValueError: `text` is not ``task-`` and 32 hex digits.
    """
    if _TASK.fullmatch(text) is None:
        raise ValueError(f"not a task id: {text[:80]!r}")
    return TaskId(text)


def parse_channel_id(text: str) -> ChannelId:
    """Return `text` as a channel id.

    Raises:
        ValueError: `text` is not ``0x`` and 64 lower-case hex digits.
    """
    if _CHANNEL.fullmatch(text) is None:
        raise ValueError(f"not a channel id: {text[:80]!r}")
    return ChannelId(text)


def parse_trace_id(text: str) -> TraceIdHex:
    """Return `text` as a trace id; shorter hex is padded with zeros, as Jaeger does.

    Raises:
        ValueError: `text` is not 1 to 32 hex digits, or all zero.
    """
    lower = text.strip().lower()
    if _TRACE.fullmatch(lower) is None or not lower.strip("0"):
        raise ValueError(f"not a trace id (1 to 32 hex digits): {text[:80]!r}")
    return TraceIdHex(lower.rjust(32, "0"))
