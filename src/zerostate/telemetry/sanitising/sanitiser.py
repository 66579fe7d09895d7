"""The sanitiser itself: attribute by attribute, text by text."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal, final, get_args

from opentelemetry.util.types import AttributeValue

from zerostate.semconv.model import Sensitivity
from zerostate.semconv.sensitivity import SENSITIVITY
from zerostate.telemetry.locks import ForkSafeLock
from zerostate.telemetry.sanitising.config import CLASS_ACTIONS, Action, SanitiseConfig
from zerostate.telemetry.sanitising.shapes import (
    REDACTED,
    SHAPES,
    Shape,
    fold,
    may_hold_secret,
    plain_name,
    secret_name_pattern,
)

MAX_EVIDENCE_BYTES: Final = 4096
"""Largest signed record that leaves, in bytes (the registry's bound). A larger one is
dropped: cut short, it would prove nothing."""

MAX_DEPTH: Final = 8
"""Deepest nesting of a value that is looked at."""

OVERLAP_CHARS: Final = 512
"""How far beyond the cut a text is looked at, in characters, so that a secret across
the cut is whole when it is looked for."""

MAX_KEYS: Final = 4096
"""Attribute keys whose rule is remembered."""

UNREGISTERED: Final[Sensitivity] = "guild"
"""Class of an attribute that the registry does not know: a user's own."""

_HASH_DIGITS: Final = 16

_Plan = Literal["evidence", "keep", "truncate", "hash", "mask", "drop"]

_STRICTNESS: Final[tuple[_Plan, ...]] = get_args(_Plan)
"""An entry of a mapping follows the stricter of its own rule and the mapping's."""


@final
class Sanitiser:
    """Says what of an attribute may leave. Made by `build_sanitiser`.

    Pure but for its counts: the same key and value always give the same answer, so
    callers may remember it (then `sanitised` counts what they asked). Safe to share
    between threads. Never raises: what it cannot look into does not leave.

    Attributes:
        sanitised: How many values were changed, by rule: a class's or attribute's
            action (``hash``), a secret's shape (``aws_key``), ``secret_name``, a
            pattern of the user's (``pattern.<name>``), ``too_long``, ``error``.
    """

    __slots__ = (
        "_config",
        "_hash_key",
        "_lock",
        "_patterns",
        "_plans",
        "_quick_chars",
        "_secret_name",
        "_shapes",
        "sanitised",
    )

    def __init__(self, config: SanitiseConfig) -> None:
        self.sanitised: Final[Counter[str]] = Counter()
        self._config: Final = config
        self._lock: Final = ForkSafeLock()
        self._hash_key: Final = config.hash_key or os.urandom(32)
        self._patterns: Final = [
            (f"pattern.{name}", re.compile(text))
            for name, text in config.patterns.items()
        ]
        self._shapes: Final[tuple[Shape, ...]] = SHAPES if config.enabled else ()
        self._secret_name: Final = secret_name_pattern(config.secret_names)
        self._plans: Final[dict[str, _Plan]] = {}
        if "hash" in config.attributes.values() or config.audience != "operator":
            # Here, not on the exporting thread: a fork during an import would leave
            # its lock held in the child. Not always: OpenSSL takes megabytes.
            import hmac  # noqa: F401, PLC0415  # see above
        # Up to which length the quick look alone can clear a text.
        self._quick_chars: Final = -1 if self._patterns else config.max_value_chars

    def __call__(self, key: str, value: AttributeValue) -> AttributeValue | None:
        """Return what may leave of the attribute `key`: of a span, event or link.

        Returns:
            `value` itself if there is nothing against it; None to leave it out.
        """
        try:
            plan = self._plans.get(key) or self._plan(key)
            if plan == "keep":
                kind = type(value)
                if kind is str:
                    text: str = value  # type: ignore[assignment]  # as just seen
                    if len(text) <= self._quick_chars and not may_hold_secret(text):
                        return text
                    return self._cleaned(text)
                if kind is int or kind is bool or kind is float:
                    return value
            return self._by_plan(plan, value, 0)  # type: ignore[return-value]  # as given
        except Exception:  # noqa: BLE001  # export goes on; counted, and nothing leaves
            self._count("error")
            return None

    def clean_text(self, text: str) -> str:
        """Return `text` without the secrets in it.

        For what has no key: a status description, a log message.
        """
        try:
            return self._cleaned(str.__str__(text))
        except Exception:  # noqa: BLE001  # as in __call__
            self._count("error")
            return REDACTED

    # Which rule

    def _plan(self, key: str) -> _Plan:
        plan = self._new_plan(key)
        if len(self._plans) >= MAX_KEYS:
            self._plans.clear()
        self._plans[key] = plan
        return plan

    def _new_plan(self, key: str) -> _Plan:
        action: Action | None = self._config.attributes.get(key)
        if action is not None:
            return action
        sensitivity = SENSITIVITY.get(key)
        if sensitivity is None:
            if self._config.enabled and self._secret_name.search(plain_name(key)):
                return "mask"
            sensitivity = UNREGISTERED
        action = CLASS_ACTIONS[self._config.audience][sensitivity]
        return "evidence" if (sensitivity, action) == ("evidence", "keep") else action

    # What a rule does

    def _by_plan(self, plan: _Plan, value: object, depth: int) -> object:
        if plan == "drop":
            self._count("drop")
            return None
        if plan == "evidence" and isinstance(value, bytes):
            return self._evidence(value)
        if plan == "mask" and not isinstance(value, bool | None):
            return self._masked(value)
        if isinstance(value, list | tuple | Mapping):
            return self._nested(plan, value, depth + 1)
        return self._leaf(plan, value)

    def _evidence(self, value: bytes) -> bytes | None:
        if len(value) <= MAX_EVIDENCE_BYTES:
            return value
        self._count("too_long")
        return None

    def _masked(self, value: object) -> str:
        if value != REDACTED:
            self._count("secret_name")
        return REDACTED

    def _nested(
        self,
        plan: _Plan,
        value: list[object] | tuple[object, ...] | Mapping[object, object],
        depth: int,
    ) -> object:
        if depth > MAX_DEPTH:
            self._count("too_deep")
            return None
        if isinstance(value, Mapping):
            return {
                self.clean_text(str(key)): self._by_plan(
                    max(plan, self._plan(str(key)), key=_STRICTNESS.index), item, depth
                )
                for key, item in value.items()
            }
        items = [self._by_plan(plan, item, depth) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return items if isinstance(value, list) else tuple(items)

    def _leaf(self, plan: _Plan, value: object) -> object:
        if value is None:
            return None
        if isinstance(value, bytes):
            # Every byte is a character of Latin-1, so that what is kept stays as it is.
            text = self._text(plan, value.decode("latin-1"))
            return text if plan == "hash" else _same(value, text.encode("latin-1"))
        if isinstance(value, str):
            return self._text(plan, str.__str__(value))
        if isinstance(value, int | float):
            if plan != "hash":
                return value
            self._count("hash")
            return None
        return self._text(plan, str(value))

    def _text(self, plan: _Plan, text: str) -> str:
        if plan == "hash":
            self._count("hash")
            return self._hashed(text)
        cleaned = self._cleaned(text)
        if plan == "truncate" and len(cleaned) > self._config.truncate_chars:
            self._count("truncate")
            return cleaned[: self._config.truncate_chars]
        return cleaned

    def _hashed(self, text: str) -> str:
        import hmac  # noqa: PLC0415  # loaded by the constructor where it is needed

        data = text.encode("utf-8", "surrogatepass")
        return hmac.digest(self._hash_key, data, "sha256").hex()[:_HASH_DIGITS]

    # Texts

    def _cleaned(self, text: str) -> str:
        limit = self._config.max_value_chars
        if len(text) <= limit:
            return self._scrubbed(text)
        self._count("too_long")
        window = text[: limit + OVERLAP_CHARS]
        cleaned = self._scrubbed(window)
        if len(window) < len(text):
            # The window's end may be half a secret, which no shape knows.
            cleaned = cleaned[: max(0, len(cleaned) - OVERLAP_CHARS)]
        return cleaned[:limit]

    def _scrubbed(self, text: str) -> str:
        if self._shapes and may_hold_secret(text):
            text = self._without_shapes(text)
        for name, pattern in self._patterns:
            text = self._replaced(name, pattern.sub(REDACTED, text), text)
        return text

    def _without_shapes(self, text: str) -> str:
        folded = fold(text)
        for shape in self._shapes:
            if any(trigger in folded for trigger in shape.triggers):
                new = self._replaced(shape.name, shape.removed(text, folded), text)
                if new is not text:
                    text, folded = new, fold(new)
        return text

    def _replaced(self, rule: str, new: str, old: str) -> str:
        if new == old:
            return old
        self._count(rule)
        return new

    def _count(self, rule: str) -> None:
        with self._lock:
            self.sanitised[rule] += 1


def build_sanitiser(config: SanitiseConfig | None = None) -> Sanitiser:
    """Return what sanitises as `config` says.

    Args:
        config: None takes the defaults: known secrets are taken out, and attributes of
            the registry's class ``secret``; everything else is kept.
    """
    return Sanitiser(config if config is not None else SanitiseConfig())


def _same(old: bytes, new: bytes) -> bytes:
    return old if old == new else new
