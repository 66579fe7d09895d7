// @ts-check
// The router: every view has an address, and the address is all that a view reads.

import { h, notice } from "./dom.js";
import { parseTraceId } from "./format.js";
import { showSearch } from "./search.js";
import { showTrace } from "./trace.js";

const view = /** @type {HTMLElement} */ (document.getElementById("view"));
let shown = new AbortController();

function render() {
  shown.abort();
  shown = new AbortController();
  const url = new URL(location.href);
  const page = { view, url, signal: shown.signal, navigate };
  const path = /^\/trace\/([^/]*)\/?$/.exec(url.pathname);
  if (!path) {
    void showSearch(page);
    return;
  }
  const id = parseTraceId(path[1]);
  if (id) void showTrace(page, id.traceId);
  else view.replaceChildren(notice("error", "This is not a trace id", h("p", {}, "A trace id has up to 32 hex digits.")));
}

/** @param {string} url Of this origin. */
function navigate(url) {
  // Looking at the same address again must not need two steps back.
  if (new URL(url, location.href).href === location.href) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  render();
  window.scrollTo(0, 0);
  view.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest("a[data-nav]");
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!(link instanceof HTMLAnchorElement) || !plain || event.defaultPrevented) return;
  event.preventDefault();
  navigate(link.href);
});

const find = /** @type {HTMLFormElement} */ (document.getElementById("find"));
const findInput = /** @type {HTMLInputElement} */ (document.getElementById("find-id"));
const findError = /** @type {HTMLElement} */ (document.getElementById("find-error"));
find.addEventListener("submit", (event) => {
  event.preventDefault();
  const id = parseTraceId(findInput.value);
  findError.textContent = id ? "" : "Not a trace id: it has 1 to 32 hex digits, not all zero.";
  findInput.setAttribute("aria-invalid", String(!id));
  if (id) navigate(`/trace/${id.traceId}${id.spanId ? `?span=${id.spanId}` : ""}`);
});

window.addEventListener("popstate", render);
render();
