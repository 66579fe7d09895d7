// @ts-check
// Everything about one span.

/** @import { KeyValue, OtlpEvent } from "./otlp.js" */
/** @import { Span, Trace } from "./model.js" */
import { copyButton, h, outside } from "./dom.js";
import { dateTime, duration, plural } from "./format.js";
import { attribute, nanos, readable } from "./otlp.js";

/** Characters of a value shown before the reader asks for the rest. */
const MAX_VALUE_CHARS = 300;

/** Attributes, events or links shown before the reader asks for the rest. */
const MAX_ITEMS = 200;

/**
 * @param {Trace} trace
 * @param {Span} span
 * @param {string} colour
 * @param {{onClose: () => void, onSelect: (spanId: string) => void}} listener
 */
export function spanDetail(trace, span, colour, listener) {
  const close = h("button", { type: "button", class: "close", "aria-label": "Close details", onclick: listener.onClose }, "×");
  return h(
    "aside",
    { class: `detail ${colour}`, "data-testid": "span-detail", "data-span-id": span.spanId, "aria-label": "Span details" },
    h("header", {}, h("h2", {}, h("i", { class: "stripe" }), outside(span.name, "detail-name")), close),
    facts(trace, span, listener.onSelect),
    errors(span),
    section("Attributes", attributeTable(span.attributes), span.attributes.length),
    section("Events", limited(span.events, (event) => eventItem(span, event)), span.events.length),
    section("Links", limited(span.links, (link) => linkItem(trace, link, listener.onSelect)), span.links.length),
    section("Resource", attributeTable(span.resource), span.resource.length),
    dropped(span),
  );
}

/**
 * @param {Trace} trace
 * @param {Span} span
 * @param {(spanId: string) => void} onSelect
 */
function facts(trace, span, onSelect) {
  const list = h("dl", { class: "facts" });
  const add = (/** @type {string} */ term, /** @type {(Node | string)[]} */ ...value) =>
    list.append(h("dt", {}, term), h("dd", {}, ...value));
  add("Service", outside(span.service));
  add("Process", outside(processLine(span.resource)));
  add("Kind", span.kind);
  add("Status", h("span", { class: span.status === "ERROR" ? "mark error" : "" }, span.status));
  add("Start", `+${duration(span.offsetNs)}`, h("small", {}, dateTime(span.startNs)));
  add("Duration", duration(span.durationNs));
  add("Span id", h("span", { class: "mono" }, span.spanId), copyButton(span.spanId, "span id"));
  if (span.parentSpanId) add("Parent", parentLink(trace, span.parentSpanId, onSelect));
  if (span.scope.name) add("Scope", outside(`${span.scope.name} ${span.scope.version ?? ""}`.trim()));
  return list;
}

/** @param {KeyValue[]} resource */
function processLine(resource) {
  const pid = attribute(resource, "process.pid");
  const parts = [
    pid && `pid ${pid}`,
    attribute(resource, "host.name"),
    attribute(resource, "service.instance.id"),
  ];
  return parts.filter(Boolean).join(" · ") || "not told";
}

/**
 * @param {Trace} trace
 * @param {string} parentId
 * @param {(spanId: string) => void} onSelect
 */
function parentLink(trace, parentId, onSelect) {
  const parent = trace.bySpanId.get(parentId);
  if (!parent) return h("span", { class: "absent" }, h("span", { class: "mono" }, parentId), " (never arrived)");
  const button = h("button", { type: "button", class: "link", onclick: () => onSelect(parentId) });
  button.append(outside(parent.name));
  return button;
}

/**
 * What went wrong, first: the status and every recorded exception.
 *
 * @param {Span} span
 */
function errors(span) {
  const exceptions = span.events.filter((event) => event.name === "exception").slice(0, MAX_ITEMS);
  if (span.status !== "ERROR" && !exceptions.length) return null;
  const type = attribute(span.attributes, "error.type");
  return h(
    "section",
    { class: "errors", "aria-label": "Errors" },
    h("h3", {}, "Error", type && h("code", {}, type)),
    span.statusMessage && h("p", { class: "error-message" }, longText(span.statusMessage)),
    ...exceptions.map((event) => exceptionItem(event.attributes ?? [])),
  );
}

/** @param {KeyValue[]} attributes */
function exceptionItem(attributes) {
  const stack = attribute(attributes, "exception.stacktrace");
  return h(
    "div",
    { class: "exception" },
    h("p", {}, h("code", {}, attribute(attributes, "exception.type") ?? "exception"), " ",
      longText(attribute(attributes, "exception.message") ?? "")),
    stack && h("details", {}, h("summary", {}, "Stack trace"), h("pre", { tabindex: 0 }, stack)),
  );
}

/**
 * @param {string} title
 * @param {Node} content
 * @param {number} count
 */
function section(title, content, count) {
  if (!count) return null;
  const head = h("summary", {}, title, h("span", { class: "count" }, count));
  return h("details", { open: true, class: "part" }, head, content);
}

/** @param {KeyValue[]} attributes */
function attributeTable(attributes) {
  const sorted = [...attributes].sort((a, b) => (a.key < b.key ? -1 : 1));
  const table = h("table", { class: "attributes" });
  const body = h("tbody");
  const row = (/** @type {KeyValue} */ kv) => {
    const { type, text } = readable(kv.value);
    const size = type === "bytes" ? `${plural(text.length / 2, "byte")} ` : "";
    const value = h("td", { class: `value ${type}` }, size && h("small", {}, size), longText(text));
    return h("tr", {}, h("th", { scope: "row" }, outside(kv.key)), value);
  };
  fillInSteps(body, sorted, row);
  table.append(body);
  return table;
}

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => HTMLElement} draw
 */
function limited(items, draw) {
  const list = h("ul", { class: "items" });
  fillInSteps(list, items, draw);
  return list;
}

/**
 * @template T
 * @param {HTMLElement} parent
 * @param {T[]} items
 * @param {(item: T) => HTMLElement} draw
 */
function fillInSteps(parent, items, draw) {
  parent.append(...items.slice(0, MAX_ITEMS).map(draw));
  const rest = items.slice(MAX_ITEMS);
  if (!rest.length) return;
  const button = h("button", { type: "button", class: "link" }, `Show ${rest.length} more`);
  const holder = parent instanceof HTMLUListElement ? h("li", {}, button) : h("tr", {}, h("td", { colspan: 2 }, button));
  button.addEventListener("click", () => {
    holder.remove();
    fillInSteps(parent, rest, draw);
  });
  parent.append(holder);
}

/** @param {string} text */
function longText(text) {
  if (text.length <= MAX_VALUE_CHARS) return h("bdi", { class: "text" }, text);
  const short = h("bdi", { class: "text" }, `${text.slice(0, MAX_VALUE_CHARS)}…`);
  const button = h("button", { type: "button", class: "link" }, `Show all ${plural(text.length, "character")}`);
  button.addEventListener("click", () => {
    short.textContent = text;
    button.remove();
  });
  return h("span", {}, short, " ", button);
}

/**
 * @param {Span} span
 * @param {OtlpEvent} event
 */
function eventItem(span, event) {
  const sinceSpan = Number(nanos(event.timeUnixNano) - span.startNs);
  const sign = sinceSpan < 0 ? "−" : "+";
  const title = `${duration(sinceSpan + span.offsetNs)} after the trace's start`;
  return h(
    "li",
    { class: "event" },
    h("p", {}, h("span", { class: "mono offset", title }, `${sign}${duration(Math.abs(sinceSpan))}`), " ",
      outside(event.name || "(no name)", "event-name")),
    event.attributes?.length ? attributeTable(event.attributes) : null,
  );
}

/**
 * @param {Trace} trace
 * @param {{traceId: string, spanId: string, attributes?: KeyValue[]}} link
 * @param {(spanId: string) => void} onSelect
 */
function linkItem(trace, link, onSelect) {
  const here = link.traceId === trace.traceId;
  const target = here && trace.bySpanId.get(link.spanId);
  const href = `/trace/${encodeURIComponent(link.traceId)}?span=${encodeURIComponent(link.spanId)}`;
  const label = target ? `${target.name} (this trace)` : `trace ${link.traceId.slice(0, 8)} · span ${link.spanId}`;
  const go = here
    ? h("button", { type: "button", class: "link", onclick: () => onSelect(link.spanId) }, outside(label))
    : h("a", { href, "data-nav": true, class: "mono" }, label);
  return h("li", { class: "span-link" }, go, link.attributes?.length ? attributeTable(link.attributes) : null);
}

/** @param {Span} span */
function dropped(span) {
  const { droppedAttributesCount: a = 0, droppedEventsCount: e = 0, droppedLinksCount: l = 0 } = span.raw;
  if (!a && !e && !l) return null;
  const text = `Dropped by the sender's limits: ${plural(a, "attribute")}, ${plural(e, "event")}, ${plural(l, "link")}.`;
  return h("p", { class: "dropped" }, text);
}
