"""Single fields of OTLP/JSON, read strictly.

The rules are those of proto3's JSON mapping with OTLP's exceptions (OTLP
specification, "JSON Protobuf Encoding"): keys in lowerCamelCase only, ids as hex,
64-bit integers as a number or a decimal string, enums as numbers (names are taken
too), unknown fields ignored, ``null`` the same as absent.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from zerostate.errors import OtlpDecodeError

JsonObject = Mapping[str, object]
"""A JSON object as ``json.loads`` gives it."""

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
UINT64_MAX: Final = 2**64 - 1
UINT32_MAX: Final = 2**32 - 1
INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1

_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,4})?")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")
_NOT_FINITE: Final = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}


def as_object(raw: object, what: str) -> JsonObject:
    """Return `raw` as an object; absent is an empty one."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise OtlpDecodeError(f"{what}: not a JSON object")
    return raw


def as_list(owner: JsonObject, key: str) -> list[object]:
    """Return a repeated field."""
    raw = owner.get(key)
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise OtlpDecodeError(f"{key}: not a JSON array")
    return raw


def as_text(owner: JsonObject, key: str) -> str:
    """Return a string field."""
    raw = owner.get(key)
    return "" if raw is None else to_text(raw, key)


def to_text(raw: object, what: str) -> str:
    """Return `raw` as text that protobuf can carry (no lone surrogates)."""
    if not isinstance(raw, str):
        raise OtlpDecodeError(f"{what}: not a string")
    try:
        raw.encode()
    except UnicodeEncodeError as error:
        raise OtlpDecodeError(f"{what}: not valid Unicode") from error
    return raw


def as_int(owner: JsonObject, key: str, lowest: int, highest: int) -> int:
    """Return an integer field within bounds."""
    raw = owner.get(key)
    return 0 if raw is None else to_int(raw, key, lowest, highest)


def to_int(raw: object, what: str, lowest: int, highest: int) -> int:
    """Return `raw`, a number or a decimal string, as an integer within bounds."""
    if isinstance(raw, str) and _DECIMAL.fullmatch(raw):
        number = int(raw)
    elif isinstance(raw, int) and not isinstance(raw, bool):
        number = raw
    elif isinstance(raw, float) and raw.is_integer():
        number = int(raw)
    else:
        raise OtlpDecodeError(f"{what}: not an integer")
    if not lowest <= number <= highest:
        raise OtlpDecodeError(f"{what}: not within {lowest} to {highest}")
    return number


def as_enum(owner: JsonObject, key: str, names: Mapping[str, int]) -> int:
    """Return an enum field, given by number or by one of `names`."""
    raw = owner.get(key)
    if isinstance(raw, str) and raw in names:
        return names[raw]
    return as_int(owner, key, INT32_MIN, INT32_MAX)


def as_id(owner: JsonObject, key: str) -> bytes:
    """Return a hex field's bytes; text that is not hex is no id, so one zero byte.

    One zero byte has no id's length: whoever checks the id then rejects the span
    rather than the whole request.
    """
    text = as_text(owner, key)
    return bytes.fromhex(text) if _HEX.fullmatch(text) else b"\0"


def to_double(raw: object, what: str) -> float:
    """Return `raw`, a number or its text, as a double."""
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        try:
            return float(raw)
        except OverflowError as error:
            raise OtlpDecodeError(f"{what}: not a double") from error
    if isinstance(raw, str) and (raw in _NOT_FINITE or _NUMBER.fullmatch(raw)):
        return float(_NOT_FINITE.get(raw, raw))
    raise OtlpDecodeError(f"{what}: not a number")


def to_bytes(raw: object, what: str) -> bytes:
    """Return base64 text's bytes; both alphabets, padded or not."""
    text = to_text(raw, what).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise OtlpDecodeError(f"{what}: not base64") from error
