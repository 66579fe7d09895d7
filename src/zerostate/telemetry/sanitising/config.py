"""What a user may set about sanitising, and how it is checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from zerostate.errors import ConfigError
from zerostate.semconv.model import Sensitivity

Action = Literal["keep", "truncate", "hash", "drop"]
"""What happens to an attribute; see `SanitiseConfig.attributes`."""

Audience = Literal["operator", "guild", "public"]
"""Who reads the spans where they go."""

MAX_PATTERNS: Final = 32
"""Most patterns of a user's: each looks at every new text."""

MAX_PATTERN_CHARS: Final = 512
"""Longest pattern, in characters."""

MAX_VALUE_CHARS: Final = 1 << 20
"""Largest `SanitiseConfig.max_value_chars`: what the patterns look at is bounded, since
some need time that grows faster than the text."""

MIN_HASH_KEY_BYTES: Final = 16
"""Shortest key: hashes of guessable values must not be found by trying keys."""

CLASS_ACTIONS: Final[Mapping[Audience, Mapping[Sensitivity, Action]]] = {
    "operator": {
        "public": "keep",
        "guild": "keep",
        "private": "keep",
        "secret": "drop",
        "evidence": "keep",
    },
    "guild": {
        "public": "keep",
        "guild": "keep",
        "private": "hash",
        "secret": "drop",
        "evidence": "keep",
    },
    # A signed record names its parties, so that strangers do not get it.
    "public": {
        "public": "keep",
        "guild": "hash",
        "private": "drop",
        "secret": "drop",
        "evidence": "drop",
    },
}
"""What happens to each class of the registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SanitiseConfig:
    """What is taken out of spans before they are exported."""

    enabled: bool = True
    """False: known secrets are not looked for. Attributes of the class ``secret``, and
    whatever `audience` and `attributes` say, go all the same."""

    audience: Audience = "operator"
    """Who reads the spans: the peer's own operator, a guild, or anybody. Decides what
    happens to each sensitivity class of the registry; attributes that are not
    registered are treated as ``guild``."""

    attributes: Mapping[str, Action] = field(default_factory=dict)
    """Rules for single attributes, by key, before those of their class: keep,
    truncate (to `truncate_chars`), hash (16 hex digits of HMAC-SHA256; numbers, which
    one could only sum up, are dropped) or drop."""

    patterns: Mapping[str, str] = field(default_factory=dict)
    """Regular expressions by name; what they match in a text is replaced, and counted
    under the name. At most 32, of 512 characters. A pattern that backtracks without
    bound slows the export down, never the program's own threads."""

    secret_names: tuple[str, ...] = ()
    """More names, beside ``password``, ``token``, ``api_key`` and the like: an
    attribute whose key ends so is replaced whole."""

    hash_key: bytes | None = field(default=None, repr=False)
    """At least 16 bytes, the same in all processes whose spans are to be compared;
    None draws one for this process."""

    truncate_chars: int = 64
    """How much the rule ``truncate`` leaves of a text, in characters."""

    max_value_chars: int = 16_384
    """Longest text that is looked at, in characters; the rest of it is cut off, so that
    nothing leaves unseen."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: With every problem at once.
        """
        problems = [*self._choice_problems(), *self._pattern_problems()]
        if self.hash_key is not None and len(self.hash_key) < MIN_HASH_KEY_BYTES:
            problems.append(
                f"sanitise.hash_key: {len(self.hash_key)} bytes; it needs at least"
                f" {MIN_HASH_KEY_BYTES}"
            )
        if self.truncate_chars < 1:
            problems.append(
                f"sanitise.truncate_chars: {self.truncate_chars} is below 1"
            )
        if not 1 <= self.max_value_chars <= MAX_VALUE_CHARS:
            problems.append(
                f"sanitise.max_value_chars: {self.max_value_chars} is not between 1 and"
                f" {MAX_VALUE_CHARS}"
            )
        if any(not name.strip() for name in self.secret_names):
            problems.append("sanitise.secret_names: one is empty")
        if problems:
            raise ConfigError(*problems)

    def _choice_problems(self) -> list[str]:
        problems = []
        if self.audience not in get_args(Audience):
            known = ", ".join(get_args(Audience))
            problems.append(f"sanitise.audience: {self.audience!r} is none of {known}")
        problems += [
            f"sanitise.attributes: {key}: {action!r} is none of"
            f" {', '.join(get_args(Action))}"
            for key, action in self.attributes.items()
            if action not in get_args(Action)
        ]
        return problems

    def _pattern_problems(self) -> list[str]:
        problems = []
        if len(self.patterns) > MAX_PATTERNS:
            problems.append(
                f"sanitise.patterns: {len(self.patterns)}; the limit is {MAX_PATTERNS}"
            )
        for name, pattern in self.patterns.items():
            if problem := _pattern_problem(pattern):
                problems.append(f"sanitise.patterns: {name}: {problem}")
        return problems


def _pattern_problem(pattern: str) -> str:
    if len(pattern) > MAX_PATTERN_CHARS:
        return f"{len(pattern)} characters; the limit is {MAX_PATTERN_CHARS}"
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as exc:
        return f"no regular expression ({exc})"
    if compiled.search(""):
        return "matches the empty text, so it would match everywhere"
    return ""
