"""What is traced: the attributes of this process."""

import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import zerostate
from zerostate.telemetry.effective import EffectiveConfig

MAX_RESOURCE_ATTRIBUTES: Final = 128
"""Attributes taken from OTEL_RESOURCE_ATTRIBUTES; what comes after is left out."""


def resource_attributes(
    config: EffectiveConfig, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the resource of this process's spans.

    The environment first, then the configuration, then the service's name and version
    (OpenTelemetry semantic conventions, "Resource").
    """
    attributes = _from_environment(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    attributes["telemetry.sdk.language"] = "python"
    attributes["telemetry.sdk.name"] = "zerostate"
    attributes["telemetry.sdk.version"] = zerostate.__version__
    attributes.update(config.resource_attributes)
    attributes["service.name"] = config.service_name
    if config.service_version is not None:
        attributes["service.version"] = config.service_version
    return attributes


def _from_environment(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")][:MAX_RESOURCE_ATTRIBUTES]
    return {
        unquote(key.strip()): unquote(value.strip())
        for key, equals, value in pairs
        if equals and key.strip()
    }
