"""``zerostate doctor``: which settings hold here, and does a span arrive."""

import importlib.metadata
import os
import platform
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from zerostate import __version__
from zerostate.cli.failures import EXIT_ENVIRONMENT, EXIT_OK
from zerostate.cli.output import print_lines
from zerostate.cli.query import DEFAULT_UI_URL, open_query
from zerostate.errors import ConfigError, QueryError

if TYPE_CHECKING:
    from zerostate.telemetry.effective import EffectiveConfig

CONNECT_TIMEOUT_S: Final = 3.0
"""How long the endpoint may take to accept a connection, in seconds."""

EXPORT_TIMEOUT_S: Final = 10.0
"""How long the test span may take to be handed over, in seconds."""

FIND_TIMEOUT_S: Final = 5.0
"""How long to look for the test span, in seconds."""

SERVICE_NAME: Final = "zerostate-doctor"
"""``service.name`` of the test span where the environment names none."""

_NAMED: Final = {"OTEL_SERVICE_NAME": SERVICE_NAME}

_OPTIONAL: Final = ("grpcio", "zstandard", "structlog", "libp2p", "wasmtime")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    is_good: bool
    finding: str

    def line(self) -> str:
        """Return the check for people."""
        return f"  {'ok ' if self.is_good else 'BAD'}  {self.name}: {self.finding}"


async def run_doctor(*, url: str | None) -> int:
    """Print what holds here, and send one span and look for it.

    What does not keep a task's module in is shown, but is no failure: whether tasks
    are to be run here is not known.

    Args:
        url: Page of the stack in which the test span must be found; None looks at the
            default page, if there is one.

    Returns:
        `EXIT_OK` if every check is good, else `EXIT_ENVIRONMENT`.
    """
    _show(_installed())
    _show(_confinement())
    try:
        config = _effective()
    except ConfigError as exc:
        _show(["Settings", *(f"  BAD  {problem}" for problem in exc.problems)])
        return EXIT_ENVIRONMENT
    _show(_settings(config))
    checks = [check async for check in _checks(config, url)]
    _show(["Checks", *(check.line() for check in checks)])
    return EXIT_OK if all(check.is_good for check in checks) else EXIT_ENVIRONMENT


def _show(lines: Iterable[str]) -> None:
    print_lines((line, line.startswith(("  BAD", "  off"))) for line in lines)


def _installed() -> Iterator[str]:
    from zerostate.telemetry.recorder import BACKEND  # noqa: PLC0415  # heavy

    yield "Installed"
    yield f"  zerostate {__version__}, recorder: {BACKEND}"
    yield f"  Python {platform.python_version()} on {platform.system()}"
    for name in _OPTIONAL:
        try:
            yield f"  {name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"  {name} not installed"


def _confinement() -> Iterator[str]:
    from zerostate.execution.confinement_report import (  # noqa: PLC0415  # starts a process
        confinement_report,
    )

    yield "What keeps the module of a task in, tried out"
    if sys.platform != "linux":
        yield "  nothing: tasks run on Linux only"
        return
    for measure in confinement_report():
        mark = "ok " if measure.is_in_force else "off"
        yield f"  {mark}  {measure.name}: {measure.finding}"


def _effective() -> "EffectiveConfig":
    from zerostate.telemetry import TelemetryConfig  # noqa: PLC0415  # heavy
    from zerostate.telemetry.effective import resolve  # noqa: PLC0415  # heavy

    try:
        return resolve(TelemetryConfig())
    except ConfigError:
        # Perhaps only the name is missing, which a program gives itself.
        return resolve(TelemetryConfig(), {**os.environ, **_NAMED})


def _settings(config: "EffectiveConfig") -> Iterator[str]:
    from zerostate.telemetry.setting_values import without_password  # noqa: PLC0415  # heavy

    yield "Settings of a process started here, and where each comes from"
    width = max(len(origin.name) for origin in config.origins)
    for origin in config.origins:
        source = origin.source
        if origin.value == SERVICE_NAME and "OTEL_SERVICE_NAME" not in os.environ:
            source = "for this test; a program names itself"
        yield f"  {origin.name:<{width}}  {origin.value}  ({source})"
    for name in ("limits", "resource_attributes"):
        yield f"  {name:<{width}}  {_shown(name, config)}"
    yield f"  {'spans go to':<{width}}  {without_password(config.traces_url)}"


def _shown(name: str, config: "EffectiveConfig") -> str:
    from zerostate.telemetry.resource import resource_attributes  # noqa: PLC0415  # heavy

    if name == "limits":
        return str(config.limits)
    attributes = resource_attributes(config)
    return ", ".join(f"{key}={value}" for key, value in sorted(attributes.items()))


async def _checks(config: "EffectiveConfig", url: str | None) -> AsyncIterator[Check]:
    from zerostate.telemetry.provider import foreign_provider  # noqa: PLC0415  # heavy

    foreign = foreign_provider()
    yield Check(
        "global provider",
        foreign is None,
        "free, init_tracer installs ours"
        if foreign is None
        else f"{foreign} is installed already; init_tracer leaves it",
    )
    if not config.enabled:
        yield Check("tracing", is_good=False, finding="disabled: nothing is recorded")
        return
    reachable = _endpoint(config.traces_url)
    yield reachable
    if not reachable.is_good:
        return
    sent, trace_id = _send_test_span(config)
    yield sent
    if sent.is_good:
        yield await _find(url, trace_id)


def _endpoint(traces_url: str) -> Check:
    from zerostate.telemetry.setting_values import without_password  # noqa: PLC0415  # heavy

    shown = without_password(traces_url)
    parts = urlsplit(traces_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        address = (parts.hostname or "", port)
        with socket.create_connection(address, timeout=CONNECT_TIMEOUT_S):
            return Check("endpoint", is_good=True, finding=f"{shown} accepts")
    except OSError as exc:
        finding = (
            f"nobody answers at {shown} ({exc}); start a stack with"
            " `zerostate up`, or set OTEL_EXPORTER_OTLP_ENDPOINT"
        )
        return Check("endpoint", is_good=False, finding=finding)


def _send_test_span(config: "EffectiveConfig") -> tuple[Check, str]:
    from zerostate.cli.tracing import DoctorTracer  # noqa: PLC0415  # heavy
    from zerostate.telemetry import (  # noqa: PLC0415  # heavy
        TelemetryConfig,
        TraceCarrier,
        init_tracer,
    )
    from zerostate.telemetry.sampling import AlwaysOn  # noqa: PLC0415  # heavy

    settings = TelemetryConfig(service_name=config.service_name, sampler=AlwaysOn())
    try:
        telemetry = init_tracer(settings)
    except ConfigError as exc:
        return Check("test span", is_good=False, finding=str(exc)), ""
    with telemetry:
        with DoctorTracer(telemetry.provider).trace_test():
            trace_id = TraceCarrier.inject().trace_id
        telemetry.force_flush(EXPORT_TIMEOUT_S)
        stats = telemetry.stats()
    sent = stats.destinations["otlp"]
    if sent.exported:
        return Check("test span", is_good=True, finding=f"trace {trace_id}"), trace_id
    why = ", ".join(sent.dropped) or f"not taken within {EXPORT_TIMEOUT_S:.0f} s"
    return Check("test span", is_good=False, finding=f"not delivered: {why}"), trace_id


async def _find(wanted_url: str | None, trace_id: str) -> Check:
    url = wanted_url or DEFAULT_UI_URL
    try:
        async with open_query(url) as query:
            _, is_whole = await query.whole_trace(trace_id, timeout_s=FIND_TIMEOUT_S)
            page = query.page_url(trace_id)
    except QueryError as exc:
        # Another backend than ours has no such page; that is for --url to insist on.
        is_good = wanted_url is None
        return Check("found again", is_good=is_good, finding=f"not looked for: {exc}")
    if not is_whole:
        finding = (
            f"not at {url} within {FIND_TIMEOUT_S:.0f} s: is it that stack's page?"
        )
        return Check("found again", is_good=False, finding=finding)
    return Check("found again", is_good=True, finding=page)
