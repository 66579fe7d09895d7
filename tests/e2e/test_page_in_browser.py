"""The page in a real browser, over a real stack that a real SDK exported to."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from requirements import require

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = "<img src=x onerror=alert(1)>"
LOST_PARENT = "1a2b3c4d5e6f7a8b"
MS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What the test exported, and where the page that shows it is."""

    ui: str
    trace_id: str
    linked_trace_id: str
    span_ids: dict[str, str]


@dataclass
class Watch:
    """What a page must not do."""

    problems: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        page.on("console", lambda m: self._console(m.type, m.text))
        page.on("pageerror", lambda error: self.problems.append(f"error {error}"))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog}"))

    def _console(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.problems.append(f"console {kind}: {text}")


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    require("chromium")
    data = tmp_path_factory.mktemp("stack")
    ports = ["--otlp-http", "0", "--otlp-grpc", "0", "--ui", "0"]
    command = [sys.executable, "-m", "zerostate.stack", "--data", str(data)]
    with subprocess.Popen(
        [*command, *ports, "--ready-json"], stdout=subprocess.PIPE, text=True
    ) as stack:
        try:
            assert stack.stdout is not None
            ready = stack.stdout.readline()
            assert ready, f"the stack ended with {stack.wait()} before it was ready"
            yield json.loads(ready)
        finally:
            stack.terminate()
            stack.wait(timeout=15)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=require("chromium"), args=CHROMIUM_FLAGS
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def sent(urls: dict[str, str]) -> Sent:
    providers = {
        service: _provider(service, urls["otlp_http"])
        for service in ("page-requester", "page-executor")
    }
    tracers = {name: provider.get_tracer("t") for name, provider in providers.items()}
    result = _export(tracers, ui=urls["ui"])
    for provider in providers.values():
        assert provider.force_flush(5_000)
        provider.shutdown()
    return result


def _provider(service: str, otlp_http: str) -> TracerProvider:
    resource = Resource({"service.name": service, "process.pid": 4711})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{otlp_http}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _export(tracers: dict[str, Tracer], *, ui: str) -> Sent:
    start_ns = time.time_ns() - 1000 * MS
    requester, executor = tracers.values()
    other = executor.start_span("other.root", start_time=start_ns)
    root = requester.start_span(
        "task.run",
        start_time=start_ns,
        links=[Link(other.get_span_context(), {"trust": "stranger"})],
    )
    ids = root.get_span_context()
    below_root = set_span_in_context(root)
    work = executor.start_span(
        "execution.task",
        below_root,
        kind=SpanKind.SERVER,
        start_time=start_ns + 10 * MS,
    )
    work.set_attributes({"fuel": 9_007_199_254_740_993, "long": "x" * 4000})
    step = executor.start_span(
        "execution.wasm.execute",
        set_span_in_context(work),
        start_time=start_ns + 20 * MS,
    )
    step.add_event("receipt.issued", {"hash": "0xabc"}, timestamp=start_ns + 25 * MS)
    step.record_exception(
        RuntimeError("the fuel ran out"), timestamp=start_ns + 30 * MS
    )
    step.set_status(Status(StatusCode.ERROR, "out of fuel"))
    hostile = requester.start_span(
        HOSTILE,
        below_root,
        start_time=start_ns + 40 * MS,
        attributes={"<script>alert(2)</script>": "<b onmouseover=alert(3)>bold</b>"},
    )
    lost = SpanContext(ids.trace_id, int(LOST_PARENT, 16), True, TraceFlags(1))
    orphan = requester.start_span(
        "orphan", set_span_in_context(NonRecordingSpan(lost)), start_time=start_ns
    )
    spans = {"root": root, "work": work, "step": step, "hostile": hostile}
    for length_ms, span in ((50, step), (60, work), (45, hostile), (9, orphan)):
        span.end(start_ns + length_ms * MS)
    root.end(start_ns + 100 * MS)
    other.end(start_ns + 2 * MS)
    return Sent(
        ui=ui,
        trace_id=f"{ids.trace_id:032x}",
        linked_trace_id=f"{other.get_span_context().trace_id:032x}",
        span_ids={
            name: f"{span.get_span_context().span_id:016x}"
            for name, span in spans.items()
        },
    )


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    watch = Watch()
    watch.over(page)
    yield page
    page.close()
    assert watch.problems == []


def row(page: Page, name: str) -> Locator:
    return page.get_by_test_id("span-row").and_(
        page.locator(f'[data-span-name="{name}"]')
    )


def test_a_trace_is_found_opened_and_read(page: Page, sent: Sent) -> None:
    page.goto(sent.ui)
    found = page.locator(f'[data-testid=trace-row][data-trace-id="{sent.trace_id}"]')
    expect(found).to_contain_text("task.run")
    expect(found).to_contain_text("5 spans")
    expect(found).to_contain_text("1 error")
    expect(found).to_contain_text("1 orphan")
    found.get_by_role("link").click()
    expect(page).to_have_url(f"{sent.ui}/trace/{sent.trace_id}")
    expect(page.get_by_test_id("trace-id")).to_have_text(sent.trace_id)
    legend = page.get_by_test_id("service-legend")
    expect(legend).to_contain_text("page-executor")
    expect(legend).to_contain_text("page-requester")

    levels = {
        line.get_attribute("data-span-name"): line.get_attribute("aria-level")
        for line in page.get_by_test_id("span-row").all()
    }
    assert levels == {
        "task.run": "1",
        "execution.task": "2",
        "execution.wasm.execute": "3",
        HOSTILE: "2",
        "orphan": "2",
    }
    missing = page.get_by_test_id("missing-parent-row")
    expect(missing).to_have_count(1)
    expect(missing).to_contain_text(LOST_PARENT)
    expect(missing).to_contain_text("never arrived")

    row(page, "execution.wasm.execute").click()
    detail = page.get_by_test_id("span-detail")
    expect(detail).to_contain_text("out of fuel")
    expect(detail).to_contain_text("RuntimeError")
    expect(detail).to_contain_text("receipt.issued")
    expect(detail).to_contain_text("+5 ms")
    expect(detail).to_contain_text("pid 4711")
    expect(page).to_have_url(re.compile(f"span={sent.span_ids['step']}$"))


def test_attributes_keep_every_digit_and_long_ones_open_on_demand(
    page: Page, sent: Sent
) -> None:
    page.goto(f"{sent.ui}/trace/{sent.trace_id}?span={sent.span_ids['work']}")
    detail = page.get_by_test_id("span-detail")
    expect(detail).to_contain_text("9007199254740993")
    expect(detail).to_contain_text("SERVER")
    expect(detail).not_to_contain_text("x" * 4000)
    detail.get_by_role("button", name="Show all 4,000 characters").click()
    expect(detail).to_contain_text("x" * 4000)


def test_markup_in_names_and_attributes_is_only_text(page: Page, sent: Sent) -> None:
    page.goto(f"{sent.ui}/trace/{sent.trace_id}?span={sent.span_ids['hostile']}")
    detail = page.get_by_test_id("span-detail")
    expect(detail.get_by_role("heading", level=2)).to_have_text(HOSTILE)
    expect(detail).to_contain_text("<script>alert(2)</script>")
    expect(detail).to_contain_text("<b onmouseover=alert(3)>bold</b>")
    expect(page.locator("img[src=x], main script, b[onmouseover]")).to_have_count(0)


def test_the_keyboard_moves_opens_closes_and_folds(page: Page, sent: Sent) -> None:
    page.goto(f"{sent.ui}/trace/{sent.trace_id}")
    detail = page.get_by_test_id("span-detail")
    row(page, "task.run").focus()
    page.keyboard.press("ArrowDown")
    expect(row(page, "execution.task")).to_be_focused()
    page.keyboard.press("Enter")
    expect(detail).to_have_attribute("data-span-id", sent.span_ids["work"])
    page.keyboard.press("Escape")
    expect(detail).to_have_count(0)
    expect(row(page, "execution.task")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(row(page, "execution.task")).to_have_attribute("aria-expanded", "false")
    expect(row(page, "execution.wasm.execute")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(row(page, "execution.wasm.execute")).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(row(page, "task.run")).to_be_focused()


def test_links_lead_to_the_other_trace_and_back(page: Page, sent: Sent) -> None:
    page.goto(f"{sent.ui}/trace/{sent.trace_id}")
    linked = page.get_by_test_id("linked-trace")
    expect(linked).to_have_attribute("data-trace-id", sent.linked_trace_id)
    linked.get_by_role("link").click()
    expect(page.get_by_test_id("span-detail")).to_contain_text("other.root")
    back = page.get_by_test_id("linked-trace")
    expect(back).to_have_attribute("data-trace-id", sent.trace_id)
    page.go_back()
    row(page, "task.run").click()
    page.get_by_test_id("span-detail").get_by_role("link").click()
    expect(page).to_have_url(re.compile(f"/trace/{sent.linked_trace_id}\\?span="))
    expect(page.get_by_test_id("span-detail")).to_contain_text("other.root")


def test_a_search_has_an_address_and_says_what_to_do(page: Page, sent: Sent) -> None:
    page.goto(f"{sent.ui}/search?service=page-executor&tags=fuel%3D1")
    expect(page.get_by_test_id("notice-empty")).to_contain_text("take away a condition")
    page.get_by_label("Tags").fill("fuel=9007199254740993")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_test_id("trace-row")).to_have_count(1)
    expect(page).to_have_url(re.compile("tags=fuel%3D9007199254740993"))
    page.get_by_label("Tags").fill("fuel")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert").filter(has_text="key=value")).to_be_visible()
    page.get_by_role("textbox", name="Trace id").fill(sent.trace_id)
    page.get_by_role("button", name="Open").click()
    expect(row(page, "task.run")).to_be_visible()


def test_an_unknown_trace_is_told_plainly(browser: Browser, sent: Sent) -> None:
    # Without the watch: a browser reports the API's 404 on its console.
    page = browser.new_page()
    page.goto(f"{sent.ui}/trace/{'ab' * 16}")
    expect(page.get_by_test_id("notice-error")).to_contain_text("No such trace")
    page.close()


def test_an_empty_stack_says_how_to_send_traces(page: Page, tmp_path: Path) -> None:
    ports = ["--otlp-http", "0", "--otlp-grpc", "0", "--ui", "0", "--ready-json"]
    command = [sys.executable, "-m", "zerostate.stack", "--data", str(tmp_path)]
    with subprocess.Popen(
        [*command, *ports], stdout=subprocess.PIPE, text=True
    ) as stack:
        assert stack.stdout is not None
        page.goto(json.loads(stack.stdout.readline())["ui"])
        expect(page.get_by_test_id("notice-empty")).to_contain_text("zerostate demo")
        stack.terminate()
