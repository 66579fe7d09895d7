"""Vendors that take OTLP: where, and how they know who sends.

Written from the vendors' documents. Tested as URL and headers against a receiver of our
own; they have not met the vendors.
"""

from typing import Final

from zerostate.errors import ConfigError
from zerostate.telemetry.export.compression import Compression
from zerostate.telemetry.export.destination import DestinationConfig
from zerostate.telemetry.export.otlp_http import HttpTarget

DATADOG_SITES: Final = (
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
)
"""Datadog's sites (docs.datadoghq.com/getting_started/site)."""

DATADOG_MAX_REQUEST_BYTES: Final = 3_200_000
"""Longer requests are answered 413 (docs.datadoghq.com,
"Datadog OTLP Traces Intake Endpoint")."""

NEW_RELIC_HOSTS: Final = {
    "us": "otlp.nr-data.net",
    "eu": "otlp.eu01.nr-data.net",
    "us-fedramp": "gov-otlp.nr-data.net",
}
"""New Relic's endpoints by region (docs.newrelic.com, "New Relic OTLP endpoint")."""

NEW_RELIC_MAX_REQUEST_BYTES: Final = 1_000_000
"""Longer requests are refused (the same page, "Payload batching")."""


def datadog(
    api_key: str, *, site: str = DATADOG_SITES[0], url: str | None = None
) -> DestinationConfig:
    """Return Datadog's OTLP intake for traces, which needs no agent.

    Args:
        api_key: An API key of the organisation.
        site: One of `DATADOG_SITES`.
        url: Another receiver with the same headers, such as a proxy or a test.

    Raises:
        ConfigError: No key, or an unknown site.
    """
    if not api_key:
        raise ConfigError("datadog.api_key: missing; set DD_API_KEY")
    if site not in DATADOG_SITES:
        known = ", ".join(DATADOG_SITES)
        raise ConfigError(f"datadog.site: {site!r} is none of {known}")
    target = HttpTarget(
        url=url or f"https://otlp.{site}/v1/traces",
        # Without compute_stats Datadog shows spans, but no rates or latencies.
        headers={"dd-api-key": api_key, "compute_stats": "true"},
        compression=Compression.GZIP,
    )
    return DestinationConfig(
        name="datadog", target=target, max_request_bytes=DATADOG_MAX_REQUEST_BYTES
    )


def new_relic(
    license_key: str, *, region: str = "us", url: str | None = None
) -> DestinationConfig:
    """Return New Relic's OTLP endpoint.

    Args:
        license_key: An ingest licence key of the account.
        region: One of `NEW_RELIC_HOSTS`.
        url: Another receiver with the same headers, such as a proxy or a test.

    Raises:
        ConfigError: No key, or an unknown region.
    """
    if not license_key:
        raise ConfigError("new_relic.license_key: missing; set NEW_RELIC_LICENSE_KEY")
    host = NEW_RELIC_HOSTS.get(region)
    if host is None:
        known = ", ".join(NEW_RELIC_HOSTS)
        raise ConfigError(f"new_relic.region: {region!r} is none of {known}")
    target = HttpTarget(
        url=url or f"https://{host}/v1/traces",
        headers={"api-key": license_key},
        compression=Compression.GZIP,
    )
    return DestinationConfig(
        name="new_relic", target=target, max_request_bytes=NEW_RELIC_MAX_REQUEST_BYTES
    )
