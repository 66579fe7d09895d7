// Run by test_page_modules.py with Node, beside a copy of the page's static files.

import assert from "node:assert/strict";
import test from "node:test";

import { ago, duration, parseTraceId } from "./static/format.js";
import { buildTrace, rowsOf, serviceColours, titleSpan } from "./static/model.js";
import { attribute, kindName, nanos, readable, statusName } from "./static/otlp.js";
import { FieldError, apiQuery, parseTags, readSearch, searchUrl } from "./static/query.js";

const START = 1_700_000_000_000_000_000n;

function span(spanId, parentSpanId = "", from = 0, to = 10, more = {}) {
  return {
    spanId,
    parentSpanId,
    name: `name-${spanId}`,
    startTimeUnixNano: String(START + BigInt(from)),
    endTimeUnixNano: String(START + BigInt(to)),
    ...more,
  };
}

function trace(...spans) {
  const resource = { attributes: [{ key: "service.name", value: { stringValue: "svc" } }] };
  return buildTrace("ab", [{ resource, scopeSpans: [{ spans }] }]);
}

function drawn(built, collapsed = []) {
  return rowsOf(built.roots, new Set(collapsed)).map(({ node, depth }) => {
    return "  ".repeat(depth) + (node.type === "missing" ? `missing ${node.spanId}` : node.spanId);
  });
}

test("children hang below their parent, ordered by start", () => {
  const built = trace(span("c", "a", 5), span("b", "a", 1, 4), span("a", "", 0, 20), span("d", "b", 2, 3));
  assert.deepEqual(drawn(built), ["a", "  b", "    d", "  c"]);
  assert.equal(built.depth, 3);
  assert.equal(built.durationNs, 20);
  assert.equal(built.orphanCount, 0);
});

test("orphans of one parent stand under one row, those of another under another", () => {
  const built = trace(span("a"), span("b", "gone", 2, 5), span("c", "gone", 3, 9), span("d", "lost", 6, 7));
  assert.deepEqual(drawn(built), ["a", "missing gone", "  b", "  c", "missing lost", "  d"]);
  assert.equal(built.orphanCount, 3);
  const stand = built.roots[1];
  assert.equal(stand.offsetNs, 2);
  assert.equal(stand.durationNs, 7);
});

test("a folded node hides what is below it", () => {
  const built = trace(span("a", "", 0, 9), span("b", "a", 1, 3), span("c", "b", 2, 3), span("d", "a", 4, 5));
  assert.deepEqual(drawn(built, [built.bySpanId.get("b").key]), ["a", "  b", "  d"]);
});

test("rings of parents are cut and every span is drawn once", () => {
  const built = trace(span("a", "c", 0), span("b", "a", 1), span("c", "b", 2), span("s", "s", 3));
  assert.equal(drawn(built).length, 4);
  assert.deepEqual(drawn(trace(span("a", "a"))), ["a"]);
});

test("spans that share an id are all drawn", () => {
  const built = trace(span("a", "", 0, 9), span("a", "", 1, 2), span("b", "a", 3, 4));
  assert.deepEqual(drawn(built), ["a", "  b", "a"]);
});

test("a trace of 20,000 levels is built without recursion", () => {
  const spans = Array.from({ length: 20_000 }, (_, i) => span(String(i), i ? String(i - 1) : "", i, 30_000));
  assert.equal(trace(...spans).depth, 20_000);
});

test("a child that starts before its parent still hangs below it", () => {
  const built = trace(span("child", "parent", 0, 4), span("parent", "", 1, 3));
  assert.deepEqual(drawn(built), ["parent", "  child"]);
  assert.equal(titleSpan(built).spanId, "parent");
});

test("nanoseconds keep their last digit, nonsense is zero", () => {
  assert.equal(nanos("1700000000000000001"), 1_700_000_000_000_000_001n);
  assert.equal(nanos("soon"), 0n);
  assert.equal(nanos(undefined), 0n);
  const built = trace(span("a", "", 1, 0));
  assert.equal(built.durationNs, 0);
});

test("enums are read as numbers and as names", () => {
  assert.deepEqual([kindName(2), kindName("SPAN_KIND_CLIENT"), kindName(undefined), kindName(99)], ["SERVER", "CLIENT", "INTERNAL", "INTERNAL"]);
  assert.deepEqual([statusName({ code: 2 }), statusName({ code: "STATUS_CODE_OK" }), statusName(undefined)], ["ERROR", "OK", "UNSET"]);
});

test("every type of value is readable, and large integers exactly", () => {
  assert.deepEqual(readable({ stringValue: "" }), { type: "string", text: "" });
  assert.deepEqual(readable({ intValue: "9007199254740993" }), { type: "int", text: "9007199254740993" });
  assert.deepEqual(readable({ bytesValue: "AAH+" }), { type: "bytes", text: "0001fe" });
  assert.deepEqual(readable({ boolValue: false }), { type: "bool", text: "false" });
  assert.equal(readable(undefined).type, "empty");
  const values = [{ intValue: "1" }, { intValue: "9007199254740993" }, { stringValue: "1" }, { doubleValue: "NaN" }];
  assert.deepEqual(JSON.parse(readable({ arrayValue: { values } }).text), [1, "9007199254740993", "1", "NaN"]);
  assert.equal(attribute([{ key: "k", value: { intValue: 7 } }], "k"), "7");
  assert.equal(attribute([], "k"), null);
});

test("durations have three digits and the unit that fits", () => {
  const wanted = { 0: "0 ns", 999: "999 ns", 1234: "1.23 µs", 1_500_000: "1.5 ms", 2e9: "2 s", 125e9: "2 min 5 s", 7200e9: "2 h" };
  for (const [ns, text] of Object.entries(wanted)) assert.equal(duration(Number(ns)), text);
  assert.equal(ago(START, Number(START / 1_000_000n) + 90_000), "90 s ago");
});

test("a trace id is taken from hex, a traceparent and a page's address", () => {
  const id = "0af7651916cd43dd8448eb211c80319c";
  assert.deepEqual(parseTraceId(` ${id.toUpperCase()} `), { traceId: id, spanId: null });
  assert.deepEqual(parseTraceId(`00-${id}-b7ad6b7169203331-01`), { traceId: id, spanId: "b7ad6b7169203331" });
  assert.equal(parseTraceId(`http://127.0.0.1:16686/trace/${id}?span=b7`).traceId, id);
  assert.equal(parseTraceId("8448eb211c80319c").traceId, "00000000000000008448eb211c80319c");
  for (const bad of ["", "0000", "xyz", `${id}0`, "javascript:alert(1)"]) assert.equal(parseTraceId(bad), null);
});

test("tags are key=value pairs with quotes around spaces", () => {
  assert.deepEqual(parseTags('error=true http.route="GET /a\\"b"  "odd key"=1 empty='), {
    error: "true",
    "http.route": 'GET /a"b',
    "odd key": "1",
    empty: "",
  });
  assert.deepEqual(parseTags("  "), {});
  assert.deepEqual(Object.keys(parseTags("__proto__=1")), ["__proto__"]);
  for (const bad of ["error", "=1", 'a="b', "a=1 b"]) assert.throws(() => parseTags(bad), FieldError);
});

test("the page's address and the API's query say the same search", () => {
  const search = readSearch(new URLSearchParams("service=a%20b&minDuration=1.5ms&lookback=6h&limit=50&tags=error%3Dtrue"));
  assert.deepEqual(readSearch(new URL(searchUrl(search), "http://x").searchParams), search);
  const now = Date.UTC(2026, 0, 2);
  const query = Object.fromEntries(apiQuery(search, now));
  assert.deepEqual(query, {
    "query.startTimeMin": "2026-01-01T18:00:00.000Z",
    "query.startTimeMax": "2026-01-02T00:01:00.000Z",
    "query.searchDepth": "50",
    "query.serviceName": "a b",
    "query.durationMin": "1.5ms",
    "query.attributes": '{"error":"true"}',
  });
  assert.throws(() => apiQuery({ ...search, maxDuration: "2 seconds" }, now), FieldError);
});

test("nonsense in the address falls back to the defaults", () => {
  const search = readSearch(new URLSearchParams("lookback=ever&limit=-3"));
  assert.deepEqual([search.lookback, search.limit], ["1h", 20]);
});

test("a service has one colour, whatever the order", () => {
  assert.equal(serviceColours(["b", "a"])("b"), serviceColours(["a", "b", "a"])("b"));
  assert.equal(serviceColours([])("x"), "svc-none");
});
