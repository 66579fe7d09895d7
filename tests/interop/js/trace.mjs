// W3C Trace Context by hand: what this peer's part of a trace is called.
import { randomBytes } from 'node:crypto'

const PARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

// Returns a span: a child of the one that `headers` name, or the root of a trace.
export function startSpan (headers = {}) {
  const found = PARENT.exec(headers.traceparent ?? '')
  return {
    trace_id: found?.[1] ?? randomBytes(16).toString('hex'),
    parent_id: found?.[2] ?? '',
    span_id: randomBytes(8).toString('hex'),
    flags: found?.[3] ?? '03'
  }
}

export function headersOf (span) {
  return { traceparent: `00-${span.trace_id}-${span.span_id}-${span.flags}` }
}
