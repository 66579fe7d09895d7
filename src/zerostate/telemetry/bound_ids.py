"""The domain ids that log lines carry: which task, guild, peer and channel this is about.

They go with the running task, whether or not its trace is sampled.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Final

from zerostate.semconv import attributes as attr

DOMAIN_IDS: Final = frozenset(
    {attr.TASK_ID, attr.GUILD_ID, attr.PEER_ID, attr.CHANNEL_ID, attr.MESSAGE_TYPE}
)
"""Attributes of a span that log lines inside it carry too."""

_Ids = Mapping[str, str]

_NONE: Final[_Ids] = MappingProxyType({})
_IDS: Final = ContextVar("zerostate.bound_ids", default=_NONE)


@contextmanager
def bind_ids(
    *,
    task_id: str | None = None,
    guild_id: str | None = None,
    peer_id: str | None = None,
    channel_id: str | None = None,
    message_type: str | None = None,
) -> Iterator[None]:
    """Put these ids on every log line written inside the block.

    Added to those bound around it; an id given again is replaced. A span opened with
    one of these as an attribute, by `LayerTracer`, `TraceHelper` or `traced`, binds it
    by itself. Goes into tasks started inside, as `suppress_tracing` does.
    """
    given = {
        attr.TASK_ID: task_id,
        attr.GUILD_ID: guild_id,
        attr.PEER_ID: peer_id,
        attr.CHANNEL_ID: channel_id,
        attr.MESSAGE_TYPE: message_type,
    }
    token = bind({key: value for key, value in given.items() if value is not None})
    try:
        yield
    finally:
        unbind(token)


def bound_ids() -> Mapping[str, str]:
    """Return the ids bound here, by attribute name."""
    return _IDS.get()


def ids_in(attributes: Mapping[str, object]) -> dict[str, str]:
    """Return the domain ids among `attributes`."""
    return {
        key: value
        for key, value in attributes.items()
        if key in DOMAIN_IDS and isinstance(value, str)
    }


def bind(ids: Mapping[str, str]) -> Token[_Ids]:
    """Bind `ids` until `unbind` is called with what this returns."""
    return _IDS.set({**_IDS.get(), **ids})


def bind_new(ids: Mapping[str, str]) -> Token[_Ids] | None:
    """As `bind`; None if all of them are bound already, or there are none."""
    if not ids or ids.items() <= _IDS.get().items():
        return None
    return bind(ids)


def unbind(token: Token[_Ids]) -> None:
    """Go back to what was bound before; no effect in another task's context."""
    # Each span comes by here; `suppress` would cost more than all the rest.
    try:  # noqa: SIM105  # suppress() takes four times as long
        _IDS.reset(token)
    except ValueError:
        pass
