// @ts-check
// The search page: form, results, and what to do when there are none.

/** @import { Summary } from "./api.js" */
/** @import { Search } from "./query.js" */
import { getOperations, getServices, getSummaries } from "./api.js";
import { h, notice, outside } from "./dom.js";
import { ago, dateTime, duration, number, plural } from "./format.js";
import { serviceColours } from "./model.js";
import { FieldError, LIMITS, LOOKBACKS, apiQuery, readSearch, searchUrl } from "./query.js";

/**
 * Services named in one result row; a wider trace says how many more there are.
 */
const MAX_CHIPS = 12;

/**
 * @typedef {object} Page What every view is given.
 * @property {HTMLElement} view Where to draw.
 * @property {URL} url
 * @property {AbortSignal} signal Aborted when the reader goes elsewhere.
 * @property {(url: string) => void} navigate
 */

/** @param {Page} page */
export async function showSearch(page) {
  const search = readSearch(page.url.searchParams);
  const results = h("div", { class: "results", "aria-live": "polite" }, h("p", { class: "loading" }, "Searching …"));
  const form = searchForm(search, page);
  document.title = "Search · ZeroState";
  page.view.replaceChildren(h("h1", { class: "visually-hidden" }, "Search traces"), form.element, results);
  try {
    const services = await getServices(page.signal);
    form.setServices(services);
    const query = apiQuery(search, Date.now());
    const summaries = services.length ? await getSummaries(query, page.signal) : [];
    results.replaceChildren(...drawResults(summaries, services, search));
  } catch (error) {
    if (page.signal.aborted) return;
    if (error instanceof FieldError) form.setError(error);
    results.replaceChildren(...(error instanceof FieldError ? [] : [failure(error, page)]));
  }
}

/**
 * @param {unknown} error
 * @param {Page} page
 */
function failure(error, page) {
  const message = error instanceof Error ? error.message : String(error);
  const retry = h("button", { type: "button", onclick: () => page.navigate(page.url.href) }, "Try again");
  return notice(
    "error",
    "The search failed",
    h("p", {}, message),
    h("p", {}, "If the stack has stopped, start it with ", h("code", {}, "zerostate up"), "."),
    retry,
  );
}

/**
 * @param {Search} search
 * @param {Page} page
 */
function searchForm(search, page) {
  const service = select("service", [["", "All services"]], search.service);
  const operation = select("operation", [["", "All operations"]], search.operation);
  const error = h("p", { class: "field-error", id: "search-error", role: "alert" });
  const element = h(
    "form",
    { class: "search-form", "aria-label": "Search traces" },
    field("Service", service, "f-service"),
    field("Operation", operation, "f-operation"),
    field("Tags", input("tags", search.tags, 'error=true task.id="…"'), "f-tags"),
    field("Min duration", input("minDuration", search.minDuration, "1.5ms"), "f-short"),
    field("Max duration", input("maxDuration", search.maxDuration, "2s"), "f-short"),
    field("Last", select("lookback", LOOKBACKS.map(([key, label]) => [key, label]), search.lookback), "f-short"),
    field("Limit", select("limit", LIMITS.map((n) => [String(n), String(n)]), String(search.limit)), "f-limit"),
    h("button", { type: "submit", class: "primary" }, "Search"),
    error,
  );
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    const data = new FormData(element);
    const values = new URLSearchParams([...data].map(([name, value]) => [name, String(value)]));
    page.navigate(searchUrl(readSearch(values)));
  });
  service.addEventListener("change", () => fillOperations(service.value, operation, "", page.signal));
  return {
    element,
    /** @param {string[]} services */
    setServices(services) {
      fill(service, [["", "All services"], ...services.map((name) => pair(name))], search.service);
      void fillOperations(search.service, operation, search.operation, page.signal);
    },
    /** @param {FieldError} problem */
    setError(problem) {
      error.textContent = problem.message;
      const control = element.elements.namedItem(problem.field);
      if (!(control instanceof HTMLElement)) return;
      control.setAttribute("aria-invalid", "true");
      control.setAttribute("aria-describedby", error.id);
    },
  };
}

/**
 * @param {string} service
 * @param {HTMLSelectElement} control
 * @param {string} chosen
 * @param {AbortSignal} signal
 */
async function fillOperations(service, control, chosen, signal) {
  /** @type {string[]} */
  let names = [];
  try {
    if (service) names = await getOperations(service, signal);
  } catch {
    // The list is a convenience; the search itself reports what is wrong.
  }
  fill(control, [["", service ? "All operations" : "Choose a service first"], ...names.map(pair)], chosen);
  control.disabled = !service;
}

/**
 * @param {string} name
 * @returns {[string, string]}
 */
function pair(name) {
  return [name, name];
}

/**
 * @param {HTMLSelectElement} control
 * @param {[string, string][]} options
 * @param {string} chosen Kept even when it is not among `options`.
 */
function fill(control, options, chosen) {
  const known = options.some(([value]) => value === chosen);
  const all = known ? options : [...options, pair(chosen)];
  control.replaceChildren(...all.map(([value, label]) => h("option", { value, selected: value === chosen }, label)));
}

/**
 * @param {string} name
 * @param {[string, string][]} options
 * @param {string} chosen
 */
function select(name, options, chosen) {
  const control = h("select", { name });
  fill(control, options, chosen);
  return control;
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} placeholder
 */
function input(name, value, placeholder) {
  return h("input", { name, value, placeholder, autocomplete: "off", spellcheck: "false" });
}

/**
 * @param {string} label
 * @param {HTMLElement} control
 * @param {string} className
 */
function field(label, control, className) {
  return h("label", { class: `field ${className}` }, h("span", {}, label), control);
}

/**
 * @param {Summary[]} summaries
 * @param {string[]} services
 * @param {Search} search
 * @returns {HTMLElement[]}
 */
function drawResults(summaries, services, search) {
  if (!services.length) return [noTraces()];
  if (!summaries.length) return [noMatch(search)];
  const found = [...summaries].sort(newestFirst);
  const longestNs = Math.max(...found.map(lengthNs));
  const colour = serviceColours(services);
  const full = found.length >= search.limit ? "; there may be more: raise the limit" : "";
  return [
    h("p", { class: "results-head", role: "status" }, `${plural(found.length, "trace")}, newest first${full}`),
    h("ol", { class: "trace-list" }, ...found.map((summary) => resultRow(summary, longestNs, colour))),
  ];
}

function noTraces() {
  return notice(
    "empty",
    "No traces yet",
    h("p", {}, "Point a service at ", h("code", {}, `http://${location.hostname}:4318`),
      " (or the OTLP address that the stack printed when it started), for example with the variable ",
      h("code", {}, "OTEL_EXPORTER_OTLP_ENDPOINT"), ", or run ", h("code", {}, "zerostate demo"), "."),
  );
}

/** @param {Search} search */
function noMatch(search) {
  const wider = searchUrl(readSearch(new URLSearchParams({ lookback: "30d" })));
  const label = LOOKBACKS.find(([key]) => key === search.lookback)?.[1];
  return notice(
    "empty",
    `No trace of the last ${label} matches`,
    h("p", {}, "Search further back, take away a condition, or ",
      h("a", { href: wider, "data-nav": true }, "show all traces of the last 30 days"), "."),
  );
}

/**
 * @param {Summary} a
 * @param {Summary} b
 */
function newestFirst(a, b) {
  const difference = BigInt(b.minStartTimeUnixNano) - BigInt(a.minStartTimeUnixNano);
  return difference > 0n ? 1 : difference < 0n ? -1 : 0;
}

/** @param {Summary} summary */
function lengthNs(summary) {
  return Number(BigInt(summary.maxEndTimeUnixNano) - BigInt(summary.minStartTimeUnixNano));
}

/**
 * @param {Summary} summary
 * @param {number} longestNs
 * @param {(service: string) => string} colour
 */
function resultRow(summary, longestNs, colour) {
  const start = BigInt(summary.minStartTimeUnixNano);
  const meter = h("span", { class: "meter", "aria-hidden": "true" }, h("i"));
  meter.style.setProperty("--part", String(longestNs > 0 ? lengthNs(summary) / longestNs : 0));
  const root = summary.rootOperationName
    ? [outside(summary.rootOperationName, "root-name"), outside(summary.rootServiceName, "root-service")]
    : [h("span", { class: "root-name absent" }, "root span missing")];
  return h(
    "li",
    { class: "trace-row", "data-testid": "trace-row", "data-trace-id": summary.traceId },
    h("a", { class: "trace-link", href: `/trace/${encodeURIComponent(summary.traceId)}`, "data-nav": true }, ...root),
    h("span", { class: "mono trace-id" }, summary.traceId.slice(0, 8)),
    h("span", { class: "trace-duration" }, duration(lengthNs(summary)), meter),
    h("span", { class: "trace-start", title: dateTime(start) }, ago(start, Date.now())),
    h("span", { class: "chips" }, ...chips(summary, colour)),
    h("span", { class: "counts" }, plural(summary.spanCount, "span"), ...marks(summary)),
  );
}

/**
 * @param {Summary} summary
 * @param {(service: string) => string} colour
 */
function chips(summary, colour) {
  const services = summary.services ?? [];
  const shown = services.slice(0, MAX_CHIPS).map((service) =>
    h("span", { class: `chip ${colour(service.name)}` }, h("i", { class: "dot" }), outside(service.name), " ",
      h("b", {}, number(service.spanCount))),
  );
  if (services.length > MAX_CHIPS) shown.push(h("span", { class: "chip" }, `+${services.length - MAX_CHIPS} services`));
  return shown;
}

/** @param {Summary} summary */
function marks(summary) {
  const found = [];
  if (summary.errorSpanCount > 0) found.push(h("span", { class: "mark error" }, plural(summary.errorSpanCount, "error")));
  if (summary.orphanSpanCount > 0) {
    const title = "Spans whose parent has not arrived";
    found.push(h("span", { class: "mark orphan", title }, plural(summary.orphanSpanCount, "orphan")));
  }
  return found;
}
