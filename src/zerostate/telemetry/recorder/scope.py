"""Who makes spans: the instrumentation scope of a tracer."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, final

from opentelemetry.util.types import AnyValue

if TYPE_CHECKING:
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope


@final
class Scope:
    """Name and version of the code that a tracer was made for."""

    def __init__(
        self,
        name: str,
        version: str,
        schema_url: str,
        attributes: Mapping[str, AnyValue],
    ) -> None:
        self.name: Final = name
        self.version: Final = version
        self.schema_url: Final = schema_url
        self.attributes: Final = attributes

    @cached_property
    def sdk_scope(self) -> "InstrumentationScope":
        """The same as the SDK has it. Loads the SDK."""
        from opentelemetry.sdk.util.instrumentation import (  # noqa: PLC0415  # heavy; seldom
            InstrumentationScope,
        )

        return InstrumentationScope(
            self.name, self.version, self.schema_url, self.attributes
        )
