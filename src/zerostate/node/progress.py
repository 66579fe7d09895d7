"""How a long method tells where it is."""

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Called once a stage; the caller may be far away, so it takes a moment."""

    async def __call__(
        self, stage: str, text: str, data: Mapping[str, object] | None = None, /
    ) -> None:
        """Tell a stage.

        Args:
            stage: A word for programs, e.g. ``guild.formed``.
            text: A line for people.
            data: What a program may want to keep, as JSON.
        """
