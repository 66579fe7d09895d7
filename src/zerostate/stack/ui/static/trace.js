// @ts-check
// The trace page: head, timeline, details of one span, linked traces.

/** @import { TraceLink } from "./api.js" */
/** @import { Span, Trace } from "./model.js" */
/** @import { Page } from "./search.js" */
import { ApiError, getLinks, getServices, getTrace } from "./api.js";
import { spanDetail } from "./detail.js";
import { copyButton, h, notice, outside } from "./dom.js";
import { dateTime, duration, number, plural } from "./format.js";
import { buildTrace, serviceColours, titleSpan } from "./model.js";
import { Timeline } from "./timeline.js";

/** Linked traces listed; a settlement may link to thousands of tasks. */
const MAX_LINKS = 100;

/**
 * @param {Page} page
 * @param {string} traceId 32 hex digits.
 */
export async function showTrace(page, traceId) {
  document.title = `Trace ${traceId.slice(0, 8)} · ZeroState`;
  page.view.replaceChildren(h("p", { class: "loading" }, "Reading the trace …"));
  let resourceSpans;
  /** @type {string[]} */
  let services;
  try {
    // The list of all services only keeps colours equal to those of the search page.
    const others = getServices(page.signal).catch(() => []);
    [resourceSpans, services] = await Promise.all([getTrace(traceId, page.signal), others]);
  } catch (error) {
    if (!page.signal.aborted) page.view.replaceChildren(failure(error, page, traceId));
    return;
  }
  if (page.signal.aborted) return;
  const trace = buildTrace(traceId, resourceSpans);
  drawTrace(page, trace, serviceColours([...services, ...trace.services.keys()]));
}

/**
 * @param {unknown} error
 * @param {Page} page
 * @param {string} traceId
 */
function failure(error, page, traceId) {
  const retry = h("button", { type: "button", onclick: () => page.navigate(page.url.href) }, "Try again");
  const id = h("p", { class: "mono" }, traceId);
  if (error instanceof ApiError && error.status === 404) {
    const text = "Nothing of it has arrived yet, or retention has removed it. Check the id, or look at the ";
    const search = h("a", { href: "/search", "data-nav": true }, "newest traces");
    return notice("error", "No such trace is stored", id, h("p", {}, text, search, "."), retry);
  }
  return notice("error", "The trace could not be read", id, h("p", {}, error instanceof Error ? error.message : String(error)), retry);
}

/**
 * @param {Page} page
 * @param {Trace} trace
 * @param {(service: string) => string} colour
 */
function drawTrace(page, trace, colour) {
  const side = h("div", { class: "side" });
  const layout = h("div", { class: "trace-layout" });
  const message = h("p", { class: "field-error", role: "status" });

  /** @param {Span} span */
  function open(span) {
    const detail = spanDetail(trace, span, colour(span.service), { onClose: close, onSelect: jump });
    side.replaceChildren(detail);
    layout.classList.add("with-detail");
    message.textContent = "";
    replaceSpan(span.spanId);
  }
  function close() {
    side.replaceChildren();
    layout.classList.remove("with-detail");
    timeline.select(null);
    replaceSpan(null);
    timeline.element.querySelector(/** @type {"div"} */ ('.row[tabindex="0"]'))?.focus({ preventScroll: true });
  }
  /** @param {string} spanId */
  function jump(spanId) {
    const span = trace.bySpanId.get(spanId);
    if (span) {
      open(span);
      timeline.select(span, { focus: true });
    } else {
      message.textContent = `Span ${spanId} is not in this trace: it has not arrived, or its process died before it was sent.`;
    }
  }

  const timeline = new Timeline(trace, colour, { onOpen: open, onClose: close });
  side.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  layout.append(timeline.element, side);
  const linked = h("section", { class: "linked", "aria-label": "Linked traces" });
  page.view.replaceChildren(head(trace), legend(trace, colour, timeline), message, layout, linked);
  const wanted = page.url.searchParams.get("span");
  if (wanted) jump(wanted.toLowerCase());
  void drawLinks(page, trace.traceId, linked);
}

/** @param {string | null} spanId */
function replaceSpan(spanId) {
  const url = new URL(location.href);
  if (spanId) url.searchParams.set("span", spanId);
  else url.searchParams.delete("span");
  history.replaceState(null, "", url);
}

/** @param {Trace} trace */
function head(trace) {
  const root = titleSpan(trace);
  const whole = root !== null && !root.parentSpanId;
  const title = root ? outside(root.name, "title-name") : "Empty trace";
  if (root) document.title = `${root.name} · ${trace.traceId.slice(0, 8)} · ZeroState`;
  const facts = [
    fact("Start", dateTime(trace.startNs)),
    fact("Duration", duration(trace.durationNs)),
    fact("Services", number(trace.services.size)),
    fact("Depth", number(trace.depth)),
    fact("Spans", number(trace.spans.length)),
    fact("Errors", number(trace.errorCount), trace.errorCount ? "bad" : ""),
    trace.orphanCount ? fact("Orphans", number(trace.orphanCount), "warn") : null,
  ];
  const id = encodeURIComponent(trace.traceId);
  return h(
    "header",
    { class: "trace-head" },
    h("h1", {}, title, root && outside(root.service, "title-service"), !whole && h("span", { class: "mark orphan" }, "root span missing")),
    h("p", { class: "trace-id-line" }, h("span", { class: "mono", "data-testid": "trace-id" }, trace.traceId),
      copyButton(trace.traceId, "trace id"), h("a", { href: `/api/traces/${id}` }, "Jaeger JSON"),
      h("a", { href: `/api/v3/traces/${id}` }, "OTLP JSON")),
    h("dl", { class: "head-facts" }, ...facts),
  );
}

/**
 * @param {string} term
 * @param {string} value
 * @param {string} [className]
 */
function fact(term, value, className = "") {
  return h("div", { class: className }, h("dt", {}, term), h("dd", {}, value));
}

/**
 * @param {Trace} trace
 * @param {(service: string) => string} colour
 * @param {Timeline} timeline
 */
function legend(trace, colour, timeline) {
  const chips = [...trace.services].map(([service, spans]) =>
    h("li", { class: `chip ${colour(service)}` }, h("i", { class: "dot" }), outside(service), " ", h("b", {}, number(spans))),
  );
  return h(
    "div",
    { class: "legend-line" },
    h("ul", { class: "chips", "data-testid": "service-legend", "aria-label": "Services and their spans" }, ...chips),
    h("span", { class: "tools" },
      h("button", { type: "button", onclick: () => timeline.expandAll() }, "Expand all"),
      h("button", { type: "button", onclick: () => timeline.collapseAll() }, "Collapse all")),
  );
}

/**
 * @param {Page} page
 * @param {string} traceId
 * @param {HTMLElement} target
 */
async function drawLinks(page, traceId, target) {
  /** @type {TraceLink[]} */
  let links;
  try {
    links = await getLinks(traceId, page.signal);
  } catch (error) {
    if (page.signal.aborted) return;
    const message = error instanceof Error ? error.message : String(error);
    target.replaceChildren(h("p", { class: "field-error" }, `Linked traces could not be read: ${message}`));
    return;
  }
  target.replaceChildren(
    ...linkList("Traces that link here", links.filter((link) => link.direction === "in")),
    ...linkList("Linked from here", links.filter((link) => link.direction === "out")),
  );
}

/**
 * @param {string} title
 * @param {TraceLink[]} links
 */
function linkList(title, links) {
  if (!links.length) return [];
  // Several spans of one trace may be linked: that is one trace to list.
  const traces = [...new Map(links.map((link) => [link.traceId, link])).values()];
  const items = traces.slice(0, MAX_LINKS).map((link) => {
    const href = `/trace/${encodeURIComponent(link.traceId)}?span=${encodeURIComponent(link.spanId)}`;
    const stored = link.spanNames?.length > 0;
    const name = link.rootOperationName || (stored ? "root span missing" : "not stored here");
    return h(
      "li",
      { "data-testid": "linked-trace", "data-trace-id": link.traceId },
      h("a", { href, "data-nav": true }, outside(name)),
      outside(link.rootServiceName, "root-service"),
      h("span", { class: "mono" }, link.traceId.slice(0, 8)),
      h("span", { class: "linked-spans" }, outside((link.spanNames ?? []).join(", "))),
    );
  });
  const rest = traces.length - MAX_LINKS;
  if (rest > 0) items.push(h("li", {}, `and ${plural(rest, "more trace")}`));
  return [h("h2", {}, title, h("span", { class: "count" }, traces.length)), h("ul", {}, ...items)];
}
