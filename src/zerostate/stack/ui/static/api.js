// @ts-check
// The query API of this origin. Shapes: Jaeger's api_v3, and /api/zs of our own.

/** @import { ResourceSpans } from "./otlp.js" */

/**
 * @typedef {{name: string, spanCount: number, errorSpanCount: number}} SummaryService
 * @typedef {object} Summary
 * @property {string} traceId
 * @property {string} rootServiceName Empty when the root has not arrived.
 * @property {string} rootOperationName
 * @property {string} minStartTimeUnixNano
 * @property {string} maxEndTimeUnixNano
 * @property {number} spanCount
 * @property {number} errorSpanCount
 * @property {number} orphanSpanCount
 * @property {SummaryService[]} services
 *
 * @typedef {object} TraceLink
 * @property {string} traceId The other trace.
 * @property {string} spanId The span of the other trace that links, or is linked to.
 * @property {"in" | "out"} direction "in": the other trace links to this one.
 * @property {string} rootServiceName
 * @property {string} rootOperationName
 * @property {string[]} spanNames Empty when the other trace is not stored.
 */

/** Longest wait for an answer: a trace of the largest size takes a few seconds. */
const TIMEOUT_MS = 30_000;

/** The API refused, or could not be reached. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 when there was no answer at all.
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
async function getJson(path, signal) {
  const late = AbortSignal.timeout(TIMEOUT_MS);
  let response;
  let text;
  try {
    response = await fetch(path, { signal: AbortSignal.any([signal, late]) });
    text = await response.text();
  } catch (error) {
    if (signal.aborted) throw error;
    const wait = late.aborted ? ` within ${TIMEOUT_MS / 1000} s` : "";
    throw new ApiError(0, `The stack did not answer${wait}.`);
  }
  if (!response.ok) throw new ApiError(response.status, errorMessage(text, response.status));
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(response.status, "The stack's answer is not JSON.");
  }
}

/**
 * The message in an error body: Jaeger's v3 and legacy envelopes, else the text.
 *
 * @param {string} text
 * @param {number} status
 */
function errorMessage(text, status) {
  try {
    const body = JSON.parse(text);
    const message = body?.error?.message ?? body?.errors?.[0]?.msg ?? body?.message;
    if (typeof message === "string") return message;
  } catch {
    // Not JSON: the text itself is what there is.
  }
  return text.trim().slice(0, 300) || `HTTP status ${status}`;
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<string[]>} Sorted.
 */
export async function getServices(signal) {
  const body = await getJson("/api/v3/services", signal);
  return [...(body.services ?? [])].sort();
}

/**
 * @param {string} service
 * @param {AbortSignal} signal
 * @returns {Promise<string[]>} Sorted, each once.
 */
export async function getOperations(service, signal) {
  const query = new URLSearchParams({ service });
  const body = await getJson(`/api/v3/operations?${query}`, signal);
  const names = (body.operations ?? []).map((/** @type {{name: string}} */ o) => o.name);
  return [...new Set(names)].sort();
}

/**
 * @param {URLSearchParams} query
 * @param {AbortSignal} signal
 * @returns {Promise<Summary[]>}
 */
export async function getSummaries(query, signal) {
  const body = await getJson(`/api/v3/trace-summaries?${query}`, signal);
  return body.summaries ?? [];
}

/**
 * @param {string} traceId
 * @param {AbortSignal} signal
 * @returns {Promise<ResourceSpans[]>}
 */
export async function getTrace(traceId, signal) {
  const body = await getJson(`/api/v3/traces/${encodeURIComponent(traceId)}`, signal);
  return body.result?.resourceSpans ?? [];
}

/**
 * @param {string} traceId
 * @param {AbortSignal} signal
 * @returns {Promise<TraceLink[]>}
 */
export async function getLinks(traceId, signal) {
  const body = await getJson(`/api/zs/links/${encodeURIComponent(traceId)}`, signal);
  return body.links ?? [];
}
