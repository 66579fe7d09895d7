// @ts-check
// The tree of spans with their bars. A WAI-ARIA treegrid: one row has the focus, arrow
// keys move it; Enter opens the details.

/** @import { Row, Span, Trace, TreeNode } from "./model.js" */
import { h, outside } from "./dom.js";
import { duration, number, plural } from "./format.js";
import { rowsOf } from "./model.js";

/** Rows that are drawn at first, and that each request for more adds. */
const PAGE_ROWS = 1000;

/** Rows in the document at once, whatever the trace's size; measured: 6,000 took 1.5 s. */
const MAX_ROWS = 4000;

/** Levels that are indented; deeper rows stay at this one, so that names stay legible. */
const MAX_INDENT = 40;

const MISSING = "This span never arrived: its process may have died, or has not sent it yet.";

const TICKS = 4;

export class Timeline {
  /** @type {Set<number>} */ #collapsed = new Set();
  /** @type {Row[]} */ #rows = [];
  /** @type {Map<number, HTMLElement>} */ #elements = new Map();
  /** @type {number | null} */ #selected = null;
  #active = 0;
  /** The part of `#rows` that is drawn. */
  #from = 0;
  #to = PAGE_ROWS;
  #body = h("div", { role: "rowgroup", class: "rows" });

  /**
   * @param {Trace} trace
   * @param {(service: string) => string} colour
   * @param {{onOpen: (span: Span) => void, onClose: () => void}} listener
   */
  constructor(trace, colour, listener) {
    this.trace = trace;
    this.colour = colour;
    this.listener = listener;
    this.element = h(
      "div",
      { class: "timeline", role: "treegrid", "aria-label": "Spans of the trace" },
      ruler(trace.durationNs),
      this.#body,
    );
    this.#body.addEventListener("click", (event) => this.#onClick(event));
    this.#body.addEventListener("keydown", (event) => this.#onKey(event));
    this.#draw();
  }

  /** Fold every span but the roots. */
  collapseAll() {
    const parents = this.trace.spans.filter((span) => span.children.length && span.parent);
    this.#collapsed = new Set(parents.map((span) => span.key));
    this.#from = 0;
    this.#to = PAGE_ROWS;
    this.#draw();
  }

  expandAll() {
    this.#collapsed.clear();
    this.#draw();
  }

  /**
   * Mark a span, unfolding what hides it.
   *
   * @param {Span | null} span
   * @param {{focus?: boolean}} [options]
   */
  select(span, { focus = false } = {}) {
    this.#selected = span ? span.key : null;
    if (!span) return this.#mark();
    this.#active = span.key;
    for (let at = span.parent; at; at = at.parent) this.#collapsed.delete(at.key);
    this.#rows = rowsOf(this.trace.roots, this.#collapsed);
    this.#reveal(this.#rows.findIndex((row) => row.node === span));
    const row = this.#elements.get(span.key);
    row?.scrollIntoView({ block: "nearest" });
    if (focus) row?.focus({ preventScroll: true });
  }

  #draw() {
    this.#rows = rowsOf(this.trace.roots, this.#collapsed);
    // Folding may have left the drawn part behind the end.
    if (this.#from >= this.#rows.length) this.#from = Math.max(0, this.#rows.length - PAGE_ROWS);
    this.#elements.clear();
    const shown = this.#rows.slice(this.#from, this.#to).map((row) => this.#drawRow(row));
    if (!this.#elements.has(this.#active)) this.#active = this.#rows[this.#from]?.node.key ?? 0;
    this.#body.replaceChildren(
      ...this.#more("earlier", this.#from, () => {
        this.#from = Math.max(0, this.#from - PAGE_ROWS);
        this.#to = Math.min(this.#to, this.#from + MAX_ROWS);
      }),
      ...shown,
      ...this.#more("later", this.#rows.length - this.#to, () => {
        this.#to += PAGE_ROWS;
        this.#from = Math.max(this.#from, this.#to - MAX_ROWS);
      }),
    );
    this.#mark();
  }

  /**
   * @param {string} which
   * @param {number} rest Rows that are not drawn on that side.
   * @param {() => void} move
   */
  #more(which, rest, move) {
    if (rest <= 0) return [];
    const label = `Show ${number(Math.min(rest, PAGE_ROWS))} of ${plural(rest, `${which} row`)}`;
    const onclick = () => {
      move();
      this.#draw();
    };
    return [h("button", { type: "button", class: "more", onclick }, label)];
  }

  /**
   * Draw so that the row at `at` is among those drawn.
   *
   * @param {number} at
   */
  #reveal(at) {
    if (at < this.#from || at >= this.#to) {
      this.#from = Math.max(0, at - PAGE_ROWS / 2);
      this.#to = this.#from + PAGE_ROWS;
    }
    this.#draw();
  }

  /** @param {Row} row */
  #drawRow(row) {
    const { node, depth, expanded } = row;
    const element = node.type === "span" ? this.#spanRow(node) : this.#missingRow(node);
    element.setAttribute("role", "row");
    element.setAttribute("aria-level", String(depth + 1));
    if (node.children.length) element.setAttribute("aria-expanded", String(expanded));
    element.dataset.key = String(node.key);
    element.style.setProperty("--depth", String(Math.min(depth, MAX_INDENT)));
    this.#elements.set(node.key, element);
    return element;
  }

  /** @param {Span} span */
  #spanRow(span) {
    const failed = span.status === "ERROR";
    return h(
      "div",
      {
        class: `row ${this.colour(span.service)}${failed ? " failed" : ""}`,
        "data-testid": "span-row",
        "data-span-id": span.spanId,
        "data-span-name": span.name,
      },
      h(
        "div",
        { class: "cell name", role: "gridcell" },
        toggle(span),
        h("i", { class: "stripe" }),
        outside(span.name, "span-name"),
        failed && h("span", { class: "mark error" }, "ERROR"),
        span.kind !== "INTERNAL" && h("span", { class: "kind" }, span.kind),
        outside(span.service, "span-service"),
      ),
      h("div", { class: "cell track", role: "gridcell" }, ...bar(span, this.trace.durationNs)),
    );
  }

  /** @param {TreeNode} node */
  #missingRow(node) {
    return h(
      "div",
      { class: "row missing", "data-testid": "missing-parent-row", "data-parent-id": node.spanId },
      h(
        "div",
        { class: "cell name", role: "gridcell" },
        toggle(node),
        h("i", { class: "stripe" }),
        h("span", { class: "span-name" }, "Missing parent"),
        h("span", { class: "mono span-id" }, node.spanId),
      ),
      h(
        "div",
        { class: "cell track", role: "gridcell" },
        h("span", { class: "missing-text", title: MISSING }, MISSING),
      ),
    );
  }

  #mark() {
    for (const [key, element] of this.#elements) {
      element.tabIndex = key === this.#active ? 0 : -1;
      element.setAttribute("aria-selected", String(key === this.#selected));
    }
  }

  /** @param {Event} event */
  #rowAt(event) {
    const target = /** @type {Element} */ (event.target);
    const key = Number(/** @type {HTMLElement | null} */ (target.closest(".row"))?.dataset.key ?? NaN);
    return this.#rows.findIndex((row) => row.node.key === key);
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const at = this.#rowAt(event);
    if (at < 0) return;
    const { node, expanded } = this.#rows[at];
    const onToggle = /** @type {Element} */ (event.target).closest(".toggle");
    this.#active = node.key;
    if (node.children.length && (onToggle || node.type === "missing")) this.#fold(node, expanded);
    else if (node.type === "span") this.#open(node);
  }

  /** @param {Span} span */
  #open(span) {
    this.#selected = span.key;
    this.#mark();
    this.listener.onOpen(span);
    const row = this.#elements.get(span.key);
    row?.focus({ preventScroll: true });
    // The details may have come to lie over it.
    row?.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {TreeNode} node
   * @param {boolean} away
   */
  #fold(node, away) {
    if (away) this.#collapsed.add(node.key);
    else this.#collapsed.delete(node.key);
    this.#draw();
    this.#elements.get(node.key)?.focus({ preventScroll: true });
  }

  /** @param {number} at */
  #focus(at) {
    const row = this.#rows[Math.max(0, Math.min(at, this.#rows.length - 1))];
    if (!row) return;
    this.#active = row.node.key;
    if (this.#elements.has(row.node.key)) this.#mark();
    else this.#reveal(this.#rows.indexOf(row));
    const element = this.#elements.get(row.node.key);
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const at = this.#rowAt(event);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    if (!this.#act(event.key, at)) return;
    event.preventDefault();
  }

  /**
   * @param {string} key
   * @param {number} at
   * @returns {boolean} Whether the key means something here.
   */
  #act(key, at) {
    const { node, expanded } = this.#rows[at];
    if (key === "ArrowDown") this.#focus(at + 1);
    else if (key === "ArrowUp") this.#focus(at - 1);
    else if (key === "Home") this.#focus(0);
    else if (key === "End") this.#focus(this.#rows.length - 1);
    else if (key === "ArrowRight") {
      if (!node.children.length) return true;
      if (expanded) this.#focus(at + 1);
      else this.#fold(node, false);
    } else if (key === "ArrowLeft") {
      if (expanded) this.#fold(node, true);
      else if (node.parent) this.#focus(this.#rows.findIndex((row) => row.node === node.parent));
    } else if (key === "Enter" || key === " ") {
      if (node.type === "span") this.#open(node);
      else this.#fold(node, expanded);
    } else if (key === "Escape") this.listener.onClose();
    else return false;
    return true;
  }
}

/** @param {TreeNode} node */
function toggle(node) {
  const has = node.children.length > 0;
  return h("span", { class: has ? "toggle" : "toggle leaf", "aria-hidden": "true" }, has && h("i", { class: "chevron" }));
}

/** @param {number} totalNs */
function ruler(totalNs) {
  const ticks = Array.from({ length: TICKS + 1 }, (_, at) => {
    const tick = h("span", { class: "tick" }, duration((totalNs * at) / TICKS));
    tick.style.setProperty("--at", String(at / TICKS));
    return tick;
  });
  return h(
    "div",
    { class: "ruler", role: "row" },
    h("div", { class: "cell name", role: "columnheader" }, "Span"),
    h("div", { class: "cell track", role: "columnheader", "aria-label": "Time" }, ...ticks),
  );
}

/**
 * @param {Span} span
 * @param {number} totalNs
 * @returns {HTMLElement[]} The bar, and the duration where it has room.
 */
function bar(span, totalNs) {
  const from = totalNs ? span.offsetNs / totalNs : 0;
  const to = totalNs ? (span.offsetNs + span.durationNs) / totalNs : 1;
  const element = h("span", { class: "bar" });
  const label = h("span", { class: "bar-label" }, duration(span.durationNs));
  for (const part of [element, label]) {
    part.style.setProperty("--from", String(from));
    part.style.setProperty("--to", String(to));
  }
  label.classList.add(to < 0.82 ? "after" : from > 0.18 ? "before" : "inside");
  return [element, label];
}
