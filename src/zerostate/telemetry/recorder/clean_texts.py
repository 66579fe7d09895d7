"""Texts that the program made up, such as names and keys, as they may leave."""

from collections.abc import Callable
from typing import Final, final

from zerostate.telemetry.recorder.wire import delimited, text_bytes

MAX_TEXTS: Final = 1024
"""Texts remembered in one place; then all of that place are forgotten. Names and keys
should be few anyway."""

MAX_TEXT_CHARS: Final = 256
"""Longest text remembered: longer ones are made up for one span."""

CleanText = Callable[[str], str]
"""Takes the secrets out of a text. Pure: answers are remembered."""


@final
class CleanTexts(dict[str, bytes]):
    """Texts as one protobuf field, by text; cleans and encodes what it does not know.

    Args:
        tag: The field's.
        clean: None lets everything out.
    """

    __slots__ = ("_clean", "_tag")

    def __init__(self, tag: bytes, clean: CleanText | None) -> None:
        super().__init__()
        self._tag: Final = tag
        self._clean: Final = clean

    def __missing__(self, text: str) -> bytes:
        cleaned = text if self._clean is None else self._clean(text)
        field = delimited(self._tag, text_bytes(cleaned))
        if len(text) <= MAX_TEXT_CHARS:
            if len(self) >= MAX_TEXTS:
                self.clear()
            self[text] = field
        return field
