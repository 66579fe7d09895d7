// @ts-check
// What the search form means: form → page address → query of the API. Pure.

export const LOOKBACKS = /** @type {const} */ ([
  ["15m", "15 minutes", 15 * 60],
  ["1h", "hour", 3600],
  ["6h", "6 hours", 6 * 3600],
  ["24h", "24 hours", 24 * 3600],
  ["7d", "7 days", 7 * 86_400],
  ["30d", "30 days", 30 * 86_400],
]);
export const LIMITS = [20, 50, 100, 500];
export const DEFAULT_LOOKBACK = "1h";
export const DEFAULT_LIMIT = 20;

/** Seconds past now that are searched too: clocks of other machines may be ahead. */
const SKEW_S = 60;

/** Go's duration syntax (time.ParseDuration), which Jaeger's API takes. */
const DURATION = /^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/;

/** One `key=value`; either side may be quoted, as in logfmt. */
const TAG = /\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"=]+))=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))(?=\s|$)/y;

/** A field of the form holds what cannot be searched for. */
export class FieldError extends Error {
  /**
   * @param {string} field
   * @param {string} message What is wrong, and what to write.
   */
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

/**
 * @typedef {object} Search
 * @property {string} service Empty: all.
 * @property {string} operation Empty: all.
 * @property {string} tags
 * @property {string} minDuration
 * @property {string} maxDuration
 * @property {string} lookback One of `LOOKBACKS`.
 * @property {number} limit
 */

/**
 * @param {URLSearchParams} params Of the page's address, or of the form.
 * @returns {Search}
 */
export function readSearch(params) {
  const text = (/** @type {string} */ name) => (params.get(name) ?? "").trim();
  const lookback = text("lookback");
  const limit = Number(text("limit"));
  return {
    service: text("service"),
    operation: text("operation"),
    tags: text("tags"),
    minDuration: text("minDuration"),
    maxDuration: text("maxDuration"),
    lookback: LOOKBACKS.some(([key]) => key === lookback) ? lookback : DEFAULT_LOOKBACK,
    limit: Number.isInteger(limit) && limit > 0 ? Math.min(limit, 1500) : DEFAULT_LIMIT,
  };
}

/**
 * @param {Search} search
 * @returns {string} The page's address, without what is empty.
 */
export function searchUrl(search) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) if (value) params.set(name, String(value));
  return `/search?${params}`;
}

/**
 * @param {Search} search
 * @param {number} nowMs
 * @returns {URLSearchParams} For /api/v3/trace-summaries.
 * @throws {FieldError}
 */
export function apiQuery(search, nowMs) {
  const spanS = LOOKBACKS.find(([key]) => key === search.lookback)?.[2] ?? 3600;
  const params = new URLSearchParams({
    "query.startTimeMin": new Date(nowMs - spanS * 1000).toISOString(),
    "query.startTimeMax": new Date(nowMs + SKEW_S * 1000).toISOString(),
    "query.searchDepth": String(search.limit),
  });
  if (search.service) params.set("query.serviceName", search.service);
  if (search.operation) params.set("query.operationName", search.operation);
  for (const [field, name] of [["minDuration", "durationMin"], ["maxDuration", "durationMax"]]) {
    const value = search[/** @type {"minDuration" | "maxDuration"} */ (field)].replace(/\s+/g, "");
    if (!value) continue;
    if (!DURATION.test(value)) throw new FieldError(field, "Write a number and a unit: 1.5ms, 200us, 2s.");
    params.set(`query.${name}`, value);
  }
  const tags = parseTags(search.tags);
  if (Object.keys(tags).length) params.set("query.attributes", JSON.stringify(tags));
  return params;
}

/**
 * @param {string} text
 * @returns {Record<string, string>}
 * @throws {FieldError}
 */
export function parseTags(text) {
  /** @type {[string, string][]} */
  const tags = [];
  TAG.lastIndex = 0;
  const line = text.trim();
  for (let at = 0; at < line.length; at = TAG.lastIndex) {
    TAG.lastIndex = at;
    const match = TAG.exec(line);
    if (!match) {
      throw new FieldError("tags", 'Write key=value pairs, with quotes around spaces: error=true http.route="GET /x".');
    }
    const key = match[1] === undefined ? match[2] : unquoted(match[1]);
    tags.push([key, match[3] === undefined ? match[4] : unquoted(match[3])]);
  }
  return Object.fromEntries(tags);
}

/** @param {string} quoted */
function unquoted(quoted) {
  return quoted.replace(/\\(.)/g, "$1");
}
