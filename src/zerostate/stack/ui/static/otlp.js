// @ts-check
// OTLP/JSON (opentelemetry-proto, trace/v1 and common/v1) as it comes from the API.
// Every field may be absent: proto3 JSON leaves defaults out. int64 comes as a string.

/**
 * @typedef {object} AnyValue
 * @property {string} [stringValue]
 * @property {boolean} [boolValue]
 * @property {string | number} [intValue]
 * @property {number | string} [doubleValue]
 * @property {string} [bytesValue] Base64.
 * @property {{values?: AnyValue[]}} [arrayValue]
 * @property {{values?: KeyValue[]}} [kvlistValue]
 *
 * @typedef {{key: string, value?: AnyValue}} KeyValue
 *
 * @typedef {object} OtlpEvent
 * @property {string | number} [timeUnixNano]
 * @property {string} [name]
 * @property {KeyValue[]} [attributes]
 *
 * @typedef {object} OtlpLink
 * @property {string} traceId
 * @property {string} spanId
 * @property {KeyValue[]} [attributes]
 *
 * @typedef {object} OtlpSpan
 * @property {string} [traceId]
 * @property {string} spanId
 * @property {string} [parentSpanId]
 * @property {string} [traceState]
 * @property {string} [name]
 * @property {number | string} [kind]
 * @property {string | number} [startTimeUnixNano]
 * @property {string | number} [endTimeUnixNano]
 * @property {KeyValue[]} [attributes]
 * @property {OtlpEvent[]} [events]
 * @property {OtlpLink[]} [links]
 * @property {{code?: number | string, message?: string}} [status]
 * @property {number} [droppedAttributesCount]
 * @property {number} [droppedEventsCount]
 * @property {number} [droppedLinksCount]
 *
 * @typedef {{name?: string, version?: string}} Scope
 * @typedef {{scope?: Scope, spans?: OtlpSpan[]}} ScopeSpans
 * @typedef {{resource?: {attributes?: KeyValue[]}, scopeSpans?: ScopeSpans[]}} ResourceSpans
 */

const KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];

/**
 * @param {number | string | undefined} kind Number, or the enum's name.
 * @returns {string} Upper case, without prefix; "INTERNAL" when unspecified.
 */
export function kindName(kind) {
  const name = typeof kind === "string" ? kind.replace("SPAN_KIND_", "") : KINDS[kind ?? 0];
  return name === undefined || name === "UNSPECIFIED" || name === "" ? "INTERNAL" : name;
}

/**
 * @param {OtlpSpan["status"]} status
 * @returns {"UNSET" | "OK" | "ERROR"}
 */
export function statusName(status) {
  const code = status?.code;
  if (code === 2 || code === "STATUS_CODE_ERROR") return "ERROR";
  return code === 1 || code === "STATUS_CODE_OK" ? "OK" : "UNSET";
}

/**
 * @param {string | number | undefined} value uint64 as JSON.
 * @returns {bigint} 0n when absent or malformed.
 */
export function nanos(value) {
  try {
    return BigInt(value ?? 0);
  } catch {
    return 0n;
  }
}

/**
 * @param {AnyValue | undefined} value
 * @returns {{type: string, text: string}} What to show, and the type's name.
 */
export function readable(value) {
  if (value?.stringValue !== undefined) return { type: "string", text: value.stringValue };
  if (value?.boolValue !== undefined) return { type: "bool", text: String(value.boolValue) };
  if (value?.intValue !== undefined) return { type: "int", text: String(value.intValue) };
  if (value?.doubleValue !== undefined) return { type: "double", text: String(value.doubleValue) };
  if (value?.bytesValue !== undefined) return { type: "bytes", text: hex(value.bytesValue) };
  if (value?.arrayValue !== undefined || value?.kvlistValue !== undefined) {
    const type = value.arrayValue !== undefined ? "array" : "map";
    return { type, text: JSON.stringify(plain(value), null, 1) };
  }
  return { type: "empty", text: "" };
}

/**
 * @param {AnyValue | undefined} value
 * @returns {unknown} Something JSON can print; bytes become hex digits.
 */
function plain(value) {
  if (value?.arrayValue) return (value.arrayValue.values ?? []).map(plain);
  if (value?.kvlistValue) {
    return Object.fromEntries((value.kvlistValue.values ?? []).map((kv) => [kv.key, plain(kv.value)]));
  }
  if (value?.boolValue !== undefined) return value.boolValue;
  const { type, text } = readable(value);
  if (type === "empty") return null;
  const exact = type === "double" || (type === "int" && Number.isSafeInteger(Number(text)));
  return exact && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** @param {string} base64 */
function hex(base64) {
  try {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
  } catch {
    return base64;
  }
}

/**
 * @param {KeyValue[] | undefined} attributes
 * @param {string} key
 * @returns {string | null} The readable value, null when absent.
 */
export function attribute(attributes, key) {
  const found = attributes?.find((kv) => kv.key === key);
  return found ? readable(found.value).text : null;
}
