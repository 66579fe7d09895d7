"""What must not leave the process in a span: found and taken out before export.

Receives attributes from the encoder, and texts from whoever writes logs; hands back
what may go out. Two sources of rules: the registry's sensitivity classes
(`zerostate.semconv.sensitivity`), and the shapes that secrets are known to have.
"""

from zerostate.telemetry.sanitising.config import Action as Action
from zerostate.telemetry.sanitising.config import Audience as Audience
from zerostate.telemetry.sanitising.config import SanitiseConfig as SanitiseConfig
from zerostate.telemetry.sanitising.sanitiser import Sanitiser as Sanitiser
from zerostate.telemetry.sanitising.sanitiser import build_sanitiser as build_sanitiser
from zerostate.telemetry.sanitising.shapes import REDACTED as REDACTED

__all__ = [
    "REDACTED",
    "Action",
    "Audience",
    "SanitiseConfig",
    "Sanitiser",
    "build_sanitiser",
]
