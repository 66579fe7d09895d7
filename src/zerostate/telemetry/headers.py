"""Reading trace headers out of whatever a framework keeps its headers in."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final, final

from opentelemetry.propagators.textmap import Getter
from typing_extensions import override

_MULTI_DICT_METHODS: Final = ("getlist", "getall", "get_all")
"""How multi-dicts give all fields of a name: Django and Werkzeug, aiohttp, and the
standard library's messages."""

_MAX_FIELDS: Final = 64
"""Most fields of one name that are read; a tracestate has at most 32 members."""


@final
class HeaderGetter(Getter[object]):
    """Yields every field of a name, whatever its case, from any kind of headers.

    Takes mappings of text, bytes or lists of these, multi-dicts, and pairs as ASGI has
    them. Never raises: what is none of these holds no headers.
    """

    @override
    def get(self, carrier: object, key: str) -> list[str] | None:
        """Return the values of all fields called `key` in order; None without any."""
        try:
            if carrier.__class__ is dict:
                value = carrier.get(key)
                if value.__class__ is str:
                    return [value]
                if value is None and _is_absent(carrier, key):
                    return None
            return list(islice(_fields(carrier, key), _MAX_FIELDS)) or None
        except Exception:  # noqa: BLE001  # a foreign mapping's fault: no headers, then
            return None

    @override
    def keys(self, carrier: object) -> list[str]:
        """Return the names of all fields, in lower case."""
        try:
            return [name.lower() for name, _ in _pairs(carrier)]
        except Exception:  # noqa: BLE001  # a foreign mapping's fault: no headers, then
            return []


HEADER_GETTER: Final = HeaderGetter()
"""The one there needs to be."""


def _is_absent(carrier: dict[object, object], key: str) -> bool:
    # Most requests lack some of our headers. Joining all names is the cheapest way to
    # find that none is the key in another case; False only means "look closer".
    try:
        return key not in "".join(carrier).lower()  # type: ignore[arg-type]  # else raises
    except TypeError:
        return False


def _fields(carrier: object, key: str) -> Iterable[str]:
    for method in () if carrier.__class__ is dict else _MULTI_DICT_METHODS:
        get_all = getattr(carrier, method, None)
        if get_all is not None:
            yield from _texts(get_all(key) if method != "getall" else get_all(key, []))
            return
    length = len(key)
    for name, value in _pairs(carrier):
        # Most names differ in length already, and this runs for each header.
        if len(name) == length and name.lower() == key:
            yield from _texts(value)


def _pairs(carrier: object) -> Iterable[tuple[str, object]]:
    if isinstance(carrier, Mapping):
        carrier = carrier.items()
    if isinstance(carrier, str | bytes) or not isinstance(carrier, Iterable):
        return
    for name, value in carrier:
        yield name if name.__class__ is str else _text(name), value


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, str | bytes):
        yield _text(value)
    elif isinstance(value, Iterable):
        for item in value:
            yield _text(item)


def _text(value: object) -> str:
    # Bytes of HTTP headers are Latin-1 (RFC 9110, section 5.5); what is no text at all
    # becomes text that no grammar accepts.
    if isinstance(value, str):
        return value
    return value.decode("latin-1") if isinstance(value, bytes) else "\0"
