// @ts-check
// A trace as a tree. Pure: OTLP in, rows out. Strangers write spans, so that ids may
// repeat, parents may form rings and trees may be deep: nothing here recurses.

/** @import { KeyValue, OtlpEvent, OtlpLink, OtlpSpan, ResourceSpans, Scope } from "./otlp.js" */
import { attribute, kindName, nanos, statusName } from "./otlp.js";

/**
 * @typedef {object} Span
 * @property {"span"} type
 * @property {number} key Unique in the trace, even when span ids repeat.
 * @property {string} spanId
 * @property {string} parentSpanId Empty for a root.
 * @property {string} name
 * @property {string} service
 * @property {string} kind
 * @property {"UNSET" | "OK" | "ERROR"} status
 * @property {string} statusMessage
 * @property {bigint} startNs
 * @property {number} offsetNs Since the trace's start.
 * @property {number} durationNs
 * @property {KeyValue[]} attributes
 * @property {KeyValue[]} resource
 * @property {Scope} scope
 * @property {OtlpEvent[]} events
 * @property {OtlpLink[]} links
 * @property {OtlpSpan} raw
 * @property {TreeNode | null} parent
 * @property {Span[]} children Ordered by start.
 *
 * @typedef {object} MissingParent Stands for a span that others name as their parent
 *   and that has not arrived.
 * @property {"missing"} type
 * @property {number} key
 * @property {string} spanId
 * @property {number} offsetNs Of its first child.
 * @property {number} durationNs To the end of its last child.
 * @property {null} parent
 * @property {Span[]} children
 *
 * @typedef {Span | MissingParent} TreeNode
 *
 * @typedef {object} Trace
 * @property {string} traceId
 * @property {TreeNode[]} roots Ordered by start.
 * @property {Span[]} spans Ordered by start.
 * @property {Map<string, Span>} bySpanId The first of each id.
 * @property {Map<string, number>} services Spans of each service.
 * @property {bigint} startNs
 * @property {number} durationNs
 * @property {number} depth
 * @property {number} errorCount
 * @property {number} orphanCount
 *
 * @typedef {{node: TreeNode, depth: number, expanded: boolean}} Row
 */

/**
 * @param {string} traceId
 * @param {ResourceSpans[]} resourceSpans
 * @returns {Trace}
 */
export function buildTrace(traceId, resourceSpans) {
  const spans = readSpans(resourceSpans);
  spans.sort(byStart);
  const startNs = spans.length ? spans[0].startNs : 0n;
  let endNs = 0;
  for (const [index, span] of spans.entries()) {
    span.key = index;
    span.offsetNs = Number(span.startNs - startNs);
    endNs = Math.max(endNs, span.offsetNs + span.durationNs);
  }
  const bySpanId = new Map();
  for (const span of spans) if (!bySpanId.has(span.spanId)) bySpanId.set(span.spanId, span);
  const { roots, orphanCount } = plant(spans, bySpanId);
  return {
    traceId,
    roots,
    spans,
    bySpanId,
    services: count(spans.map((span) => span.service)),
    startNs,
    durationNs: endNs,
    depth: depthOf(roots),
    errorCount: spans.filter((span) => span.status === "ERROR").length,
    orphanCount,
  };
}

/**
 * @param {ResourceSpans[]} resourceSpans
 * @returns {Span[]}
 */
function readSpans(resourceSpans) {
  /** @type {Span[]} */
  const spans = [];
  for (const block of resourceSpans) {
    const resource = block.resource?.attributes ?? [];
    const service = attribute(resource, "service.name") || "unknown_service";
    for (const scopeSpans of block.scopeSpans ?? []) {
      for (const raw of scopeSpans.spans ?? []) {
        spans.push(readSpan(raw, service, resource, scopeSpans.scope ?? {}));
      }
    }
  }
  return spans;
}

/**
 * @param {OtlpSpan} raw
 * @param {string} service
 * @param {KeyValue[]} resource
 * @param {Scope} scope
 * @returns {Span}
 */
function readSpan(raw, service, resource, scope) {
  const startNs = nanos(raw.startTimeUnixNano);
  return {
    type: "span",
    key: 0,
    spanId: raw.spanId,
    parentSpanId: raw.parentSpanId ?? "",
    name: raw.name || "(no name)",
    service,
    kind: kindName(raw.kind),
    status: statusName(raw.status),
    statusMessage: raw.status?.message ?? "",
    startNs,
    offsetNs: 0,
    durationNs: Math.max(0, Number(nanos(raw.endTimeUnixNano) - startNs)),
    attributes: raw.attributes ?? [],
    resource,
    scope,
    events: raw.events ?? [],
    links: raw.links ?? [],
    raw,
    parent: null,
    children: [],
  };
}

/**
 * @param {Span} a
 * @param {Span} b
 */
function byStart(a, b) {
  if (a.startNs !== b.startNs) return a.startNs < b.startNs ? -1 : 1;
  // A parent often starts in the same tick as its child; the longer one goes first.
  return b.durationNs - a.durationNs || (a.spanId < b.spanId ? -1 : 1);
}

/**
 * Hang every span under its parent, and the orphans of each absent parent under one
 * node that stands for it. A ring of parents is cut at its first span.
 *
 * @param {Span[]} spans Ordered by start.
 * @param {Map<string, Span>} bySpanId
 * @returns {{roots: TreeNode[], orphanCount: number}}
 */
function plant(spans, bySpanId) {
  /** @type {TreeNode[]} */
  const roots = [];
  /** @type {Map<string, MissingParent>} */
  const missing = new Map();
  let orphanCount = 0;
  for (const span of spans) {
    const parent = bySpanId.get(span.parentSpanId);
    if (parent && !isAncestor(span, parent)) {
      span.parent = parent;
      parent.children.push(span);
    } else if (parent || !span.parentSpanId) {
      roots.push(span);
    } else {
      orphanCount += 1;
      let stand = missing.get(span.parentSpanId);
      if (!stand) {
        stand = standIn(span, spans.length + missing.size);
        missing.set(span.parentSpanId, stand);
        roots.push(stand);
      }
      span.parent = stand;
      stand.children.push(span);
      const endNs = Math.max(stand.offsetNs + stand.durationNs, span.offsetNs + span.durationNs);
      stand.durationNs = endNs - stand.offsetNs;
    }
  }
  return { roots, orphanCount };
}

/**
 * @param {Span} orphan The first child.
 * @param {number} key
 * @returns {MissingParent}
 */
function standIn(orphan, key) {
  return {
    type: "missing",
    key,
    spanId: orphan.parentSpanId,
    offsetNs: orphan.offsetNs,
    durationNs: 0,
    parent: null,
    children: [],
  };
}

/**
 * Would hanging `span` under `node` close a ring? Chains only grow here, so that the
 * walk ends: parents are set once, and never to a descendant.
 *
 * @param {Span} span
 * @param {TreeNode | null} node
 */
function isAncestor(span, node) {
  // Nothing hangs below a span without children, so it closes a ring only with itself.
  if (span.children.length === 0) return span === node;
  for (let at = node; at; at = at.parent) if (at === span) return true;
  return false;
}

/** @param {string[]} names */
function count(names) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const name of names.sort()) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** @param {TreeNode[]} roots */
function depthOf(roots) {
  let depth = 0;
  for (const row of rowsOf(roots, new Set())) depth = Math.max(depth, row.depth + 1);
  return depth;
}

/**
 * The tree from top to bottom, without what is folded away.
 *
 * @param {TreeNode[]} roots
 * @param {Set<number>} collapsed Keys of folded nodes.
 * @returns {Row[]}
 */
export function rowsOf(roots, collapsed) {
  /** @type {Row[]} */
  const rows = [];
  /** @type {[TreeNode, number][]} */
  const stack = roots.map((node) => /** @type {[TreeNode, number]} */ ([node, 0])).reverse();
  for (let next = stack.pop(); next; next = stack.pop()) {
    const [node, depth] = next;
    const expanded = node.children.length > 0 && !collapsed.has(node.key);
    rows.push({ node, depth, expanded });
    if (!expanded) continue;
    for (let i = node.children.length - 1; i >= 0; i--) stack.push([node.children[i], depth + 1]);
  }
  return rows;
}

/**
 * The span that gives the trace its title: the first true root, else the first span.
 *
 * @param {Trace} trace
 * @returns {Span | null}
 */
export function titleSpan(trace) {
  return trace.spans.find((span) => !span.parentSpanId) ?? trace.spans[0] ?? null;
}

/**
 * A colour number for each service, the same on every view as long as the set of
 * services is the same.
 *
 * @param {Iterable<string>} services
 * @returns {(service: string) => string} The CSS class that sets `--service`.
 */
export function serviceColours(services) {
  const order = [...new Set(services)].sort();
  const classes = new Map(order.map((name, index) => [name, `svc-${index % PALETTE_SIZE}`]));
  return (service) => classes.get(service) ?? "svc-none";
}

/** Colours in base.css. */
export const PALETTE_SIZE = 12;
