"""The shapes that secrets are known to have, in texts and in the names of attributes.

`may_hold_secret` lets a text without secrets pass for a few searches for short words;
then each shape looks for its own triggers before its pattern runs. Quantifiers are
possessive where they could be: no text makes these patterns backtrack far.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

REDACTED: Final = "[redacted]"
"""Stands where a secret stood."""

_Replacement = str | Callable[[re.Match[str]], str]

_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}

_QUOTE: Final = r"(?:\\{0,3}[\"'])?+"
_SPACE: Final = r"[ \t]*+"
_GIVES: Final = rf"{_SPACE}(?:[:=]|%3[ad]){_SPACE}"
_QUOTED: Final = r"\\{0,3}\"[^\"]*+\"?|\\{0,3}'[^']*+'?"
_VALUE: Final = rf"(?:{_QUOTED}|(?!\[redacted\])[^\s&;\"'<>]++)"
_LINE: Final = rf"(?:{_QUOTED}|(?!\[redacted\])[^\r\n\"']++)"
_NAMES: Final = (
    r"(?:pass(?:word|wd|phrase)|pwd|credentials?|mnemonic|seed[_-]?phrase"
    r"|(?:api|access|auth|private|secret|signing|encryption|account)[_-]?key"
    r"|secret(?:[_-]?access[_-]?key)?)[0-9]{0,2}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of secret in a text."""

    name: str
    """Under which it is counted."""

    triggers: tuple[str, ...]
    """Lower-case words, one of which is in every folded text that matches."""

    pattern: re.Pattern[str]

    replacement: _Replacement | None
    """None: the pattern is for folded text, and all but its first group is secret. (A
    pattern that ignores case is some ten times slower.)"""

    def removed(self, text: str, folded: str) -> str:
        """Return `text` with what matches replaced; `folded` is `fold` of it."""
        if self.replacement is not None:
            return self.pattern.sub(self.replacement, text)
        parts, end = [], 0
        for match in self.pattern.finditer(folded):
            parts += [text[end : match.end(1)], REDACTED]
            end = match.end()
        return "".join([*parts, text[end:]])


def fold(text: str) -> str:
    """Return `text` in lower case, each character where it was."""
    folded = text.lower()
    # A few capitals outside of ASCII become two characters.
    return folded if len(folded) == len(text) else text.translate(_ASCII_LOWER)


def may_hold_secret(text: str) -> bool:
    """Return False if no shape matches `text`; True means: look."""
    if "AKIA" in text or "ASIA" in text or "AIza" in text:
        return True
    if text.isalnum():
        return False  # an id: all other shapes need a mark or a space
    if "eyJ" in text or ("://" in text and "@" in text):
        return True
    if ("_" in text or "-" in text) and any(mark in text for mark in _MARKS):
        return True
    folded = text.lower()
    if "bearer" in folded or "basic" in folded:
        return True
    gives = "=" in text or ":" in text or "%3" in text
    return gives and any(word in folded for word in _GIVEN)


_GIVEN: Final = (
    *("pass", "key", "token", "secret", "authorization", "cookie", "pwd"),
    *("credential", "mnemonic", "phrase", "sig"),
)
_MARKS: Final = (
    "gh",
    "github",
    "glpat-",
    "xox",
    "k_live_",
    "k_test_",
    "sk-",
    "PRIVATE KEY",
)


def _without_credentials(match: re.Match[str]) -> str:
    # "Basic" is a word like any other unless what follows is user:password.
    coded = match[2].rstrip("=")
    try:
        plain = base64.b64decode(coded + "=" * (-len(coded) % 4))
    except binascii.Error:
        return match[0]
    return match[1] + REDACTED if b":" in plain else match[0]


def _shape(
    name: str, triggers: str, pattern: str, replacement: _Replacement | None = REDACTED
) -> Shape:
    compiled = re.compile(pattern, re.ASCII)
    return Shape(name, tuple(triggers.split("|")), compiled, replacement)


SHAPES: Final = (
    _shape(
        "private_key",
        "private key",
        r"(?s:-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----.*?"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----|\Z))",
    ),
    _shape(
        "header",
        "authorization|cookie",
        rf"((?:authorization|cookie){_QUOTE}{_GIVES}){_LINE}",
        None,
    ),
    _shape(
        "jwt",
        "eyj",
        # The first part is bounded, since a text may be full of beginnings. After a
        # longer header, the payload is a beginning too.
        r"eyJ[A-Za-z0-9_-]{8,1024}+\.[A-Za-z0-9_-]{4,}+(?:\.[A-Za-z0-9_-]*+)?+",
    ),
    _shape("aws_key", "akia|asia", r"(?:AKIA|ASIA)[A-Z0-9]{16,}+"),
    _shape(
        "github_token",
        "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_",
        r"gh[pousr]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+",
    ),
    _shape(
        "service_token",
        "glpat-|xox|k_live_|k_test_|aiza|sk-",
        r"glpat-[A-Za-z0-9_-]{16,}+|xox[abeoprs]-[A-Za-z0-9-]{8,}+"
        r"|[srp]k_(?:live|test)_[A-Za-z0-9]{12,}+|AIza[A-Za-z0-9_-]{35,}+"
        r"|(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]*+[0-9])[A-Za-z0-9_-]{20,}+",
    ),
    _shape(
        "bearer",
        "bearer",
        # A plain word after "bearer" is prose, unless it is longer than words are.
        r"([Bb][Ee][Aa][Rr][Ee][Rr](?:[ \t]|%20){1,4}+)"
        r"(?![A-Za-z]?[a-z]{0,18}+(?![A-Za-z0-9._~+/=-]))[A-Za-z0-9._~+/=-]{8,}+",
        rf"\1{REDACTED}",
    ),
    _shape(
        "basic",
        "basic",
        r"([Bb][Aa][Ss][Ii][Cc](?:[ \t]|%20){1,4}+)([A-Za-z0-9+/]{8,}+={0,2}+)",
        _without_credentials,
    ),
    _shape(
        "assignment",
        "pass|pwd|credential|mnemonic|phrase|key|secret",
        rf"({_NAMES}{_QUOTE}{_GIVES}){_VALUE}",
        None,
    ),
    _shape(
        "token",
        "token|sig",
        # "unexpected token: x" is prose; "token=x" and '"token": x' are not.
        rf"((?:token|(?<=[?&])sig|x-(?:amz|goog)-signature)"
        rf"(?:{_QUOTE}{_SPACE}(?:=|%3d)|\\{{0,3}}[\"']{_SPACE}:){_SPACE}){_VALUE}",
        None,
    ),
    _shape(
        "url_password",
        "://",
        r"(://[^\s/:@?#\"']*+:)(?!\[redacted\]@)[^\s/\"'<>]+(?=@)",
        None,
    ),
)
"""All known shapes, in the order in which they are tried: the longest first."""

_TELLING: Final = (
    r"pass(?:word|wd|phrase)|pwd|secret|secret_access_key|token|jwt|authorization"
    r"|(?:set_)?cookie|credentials?|mnemonic|seed_phrase"
    r"|(?:api|access|auth|private|secret|signing|encryption|account)_?key"
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_ALNUM: Final = re.compile(r"[^a-z0-9]+")


def plain_name(key: str) -> str:
    """Return `key` in one spelling: ``X-Api-Key`` and ``xApiKey`` are ``x_api_key``."""
    return _NOT_ALNUM.sub("_", _HUMP.sub("_", key).lower()).strip("_")


def secret_name_pattern(more: tuple[str, ...] = ()) -> re.Pattern[str]:
    """Return what finds, in a `plain_name`, that it names a secret.

    Args:
        more: Names beside the known ones.
    """
    known = "|".join([_TELLING, *(re.escape(plain_name(name)) for name in more)])
    return re.compile(rf"(?:^|_)(?:{known})[0-9]{{0,2}}$", re.ASCII)
