"""Where a span comes from: the part of its tracer that it keeps."""

from typing import TYPE_CHECKING, Final, final

from zerostate.telemetry.recorder.attributes import NUMBER_TYPES, PLAIN_TYPES

if TYPE_CHECKING:
    from zerostate.telemetry.recorder.core import RecorderCore
    from zerostate.telemetry.recorder.scope import Scope


@final
class Origin:
    """The scope of a tracer and the core of its provider, for all its spans."""

    __slots__ = ("core", "max_attributes", "plain_types", "scope")

    def __init__(self, core: "RecorderCore", scope: "Scope") -> None:
        self.core: Final = core
        self.scope: Final = scope
        # Copies, so that the hot path reads them in one step.
        self.max_attributes: Final = core.limits.max_attributes
        self.plain_types: Final = (
            PLAIN_TYPES if core.limits.max_value_chars is None else NUMBER_TYPES
        )
