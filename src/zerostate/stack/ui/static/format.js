// @ts-check
// Numbers, times and ids for people. Pure.

/** @type {[string, number][]} Unit and its length in nanoseconds, longest first. */
const UNITS = [
  ["h", 3.6e12],
  ["min", 6e10],
  ["s", 1e9],
  ["ms", 1e6],
  ["µs", 1e3],
  ["ns", 1],
];

/**
 * Three digits and the unit that fits: "1.24 ms"; from a minute up, two whole units.
 *
 * @param {number} ns
 */
export function duration(ns) {
  if (ns <= 0) return "0 ns";
  const at = UNITS.findIndex(([, size]) => ns >= size);
  const [unit, size] = UNITS[at < 0 ? UNITS.length - 1 : at];
  if (unit !== "h" && unit !== "min") return `${Number((ns / size).toPrecision(3))} ${unit}`;
  const [nextUnit, nextSize] = UNITS[at + 1];
  const rest = Math.floor((ns % size) / nextSize);
  return `${Math.floor(ns / size)} ${unit}${rest ? ` ${rest} ${nextUnit}` : ""}`;
}

/** @param {number} count */
export function number(count) {
  return count.toLocaleString("en-US");
}

/**
 * @param {number} count
 * @param {string} noun Singular; "s" is put to it.
 */
export function plural(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Local date and time with milliseconds.
 *
 * @param {bigint} ns Since the Unix epoch.
 */
export function dateTime(ns) {
  const date = new Date(Number(ns / 1_000_000n));
  if (Number.isNaN(date.getTime())) return "no valid time";
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/**
 * How long ago, in one unit.
 *
 * @param {bigint} ns Since the Unix epoch.
 * @param {number} nowMs
 */
export function ago(ns, nowMs) {
  const seconds = Math.round(nowMs / 1000 - Number(ns / 1_000_000_000n));
  if (seconds < 2) return "just now";
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

/**
 * The trace (and perhaps span) that somebody pasted: hex digits, a traceparent (W3C
 * Trace Context, section 3.2), or the address of a trace page.
 *
 * @param {string} text
 * @returns {{traceId: string, spanId: string | null} | null} null: none of these.
 */
export function parseTraceId(text) {
  const line = text.trim().toLowerCase();
  const parent = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(line);
  if (parent) return { traceId: parent[1], spanId: parent[2] };
  const page = /\/trace\/([0-9a-f]{1,32})(?:[?#].*)?$/.exec(line);
  const hex = page ? page[1] : /^[0-9a-f]{1,32}$/.test(line) ? line : null;
  if (hex === null || /^0*$/.test(hex)) return null;
  return { traceId: hex.padStart(32, "0"), spanId: null };
}
