// The protobuf messages of docs/protocol.md, each field as [number, kind, name].
// Written in the order of their numbers, without those that have their default value.
import { reader, writer } from 'protons-runtime'

const VARINT = 0
const DELIMITED = 2

const KINDS = {
  bytes: { wire: DELIMITED, empty: () => new Uint8Array(), isEmpty: v => v.length === 0 },
  string: { wire: DELIMITED, empty: () => '', isEmpty: v => v === '' },
  uint64: { wire: VARINT, empty: () => 0n, isEmpty: v => v === 0n },
  bool: { wire: VARINT, empty: () => false, isEmpty: v => !v }
}

const EMPTY = { map: () => ({}), several: () => [] }

export const MESSAGE = [
  [1, 'bytes', 'id'],
  [2, 'string', 'type'],
  [3, 'string', 'from'],
  [4, 'string', 'to'],
  [5, 'string', 'topic'],
  [6, 'uint64', 'sent_unix_ns'],
  [7, 'uint64', 'expires_unix_ns'],
  [8, 'map', 'headers'],
  [9, 'bytes', 'body'],
  [10, 'bytes', 'in_reply_to'],
  [11, 'uint64', 'sequence'],
  [12, 'string', 'error_code'],
  [13, 'string', 'error_message'],
  [14, 'bool', 'keep_reply'],
  [15, 'bytes', 'cancels']
]

export const RECORD = [
  [1, 'string', 'key'],
  [2, 'uint64', 'sequence'],
  [3, 'uint64', 'expires_unix_ns'],
  [4, 'bytes', 'value']
]

export const TASK_REQUEST = [
  [1, 'string', 'task_id'],
  [2, 'string', 'guild_id'],
  [3, 'bytes', 'manifest'],
  [4, 'bytes', 'module_sha256'],
  [5, 'bytes', 'input_sha256'],
  [6, 'uint64', 'module_bytes'],
  [7, 'uint64', 'input_bytes'],
  [8, 'string', 'trace_id']
]

export const TASK_ACCEPT = [[1, 'string', 'task_id']]

export const TASK_INPUT = [[1, 'bytes', 'module'], [2, 'bytes', 'input']]

export const TASK_RESULT = [
  [1, 'string', 'task_id'],
  [2, 'string', 'outcome'],
  [3, 'string', 'message'],
  [4, 'bytes', 'output'],
  [5, 'bytes', 'receipt']
]

export const ADDRESS_BINDING = [[1, 'bytes', 'address'], [2, 'bytes', 'signature']]

export const CHANNEL_TERMS = [
  [1, 'uint64', 'chain_id'],
  [2, 'bytes', 'contract'],
  [3, 'bytes', 'payer_binding'],
  [4, 'string', 'payee_peer_id'],
  [5, 'bytes', 'payee_binding'],
  [6, 'uint64', 'deposit'],
  [7, 'bytes', 'salt']
]

// A field of several messages holds them encoded; see TASK_PAYMENT.
export const SIGNED_STATE = [
  [1, 'bytes', 'terms'],
  [2, 'uint64', 'nonce'],
  [3, 'uint64', 'net'],
  [4, 'string', 'task_id'],
  [5, 'bytes', 'receipt_sha256'],
  [6, 'uint64', 'amount'],
  [7, 'bytes', 'payer_signature'],
  [8, 'bytes', 'payee_signature'],
  [9, 'several', 'others']
]

export const TASK_PAYMENT = [[1, 'string', 'task_id'], [2, 'bytes', 'receipt_sha256'], [3, 'uint64', 'amount']]

export const PAYMENT_UPDATE = [[1, 'bytes', 'proposal'], [2, 'several', 'traceparents']]

export const ACK = [[1, 'bool', 'duplicate']]

const ENTRY = [[1, 'string', 'key'], [2, 'string', 'value']]

export function encode (fields, values) {
  const out = writer()
  for (const [number, kind, name] of fields) {
    const value = values[name]
    if (kind === 'map') {
      for (const key of Object.keys(value ?? {}).sort()) {
        out.uint32(number << 3 | DELIMITED).bytes(encodeEntry(key, value[key]))
      }
    } else if (kind === 'several') {
      for (const one of value ?? []) out.uint32(number << 3 | DELIMITED).bytes(one)
    } else if (value !== undefined && !KINDS[kind].isEmpty(value)) {
      out.uint32(number << 3 | KINDS[kind].wire)[kind](value)
    }
  }
  return out.finish()
}

function encodeEntry (key, value) {
  // In an entry of a map both fields are written, empty or not.
  return writer().uint32(1 << 3 | DELIMITED).string(key)
    .uint32(2 << 3 | DELIMITED).string(value).finish()
}

export function decode (fields, data) {
  const values = {}
  for (const [, kind, name] of fields) {
    values[name] = EMPTY[kind]?.() ?? KINDS[kind].empty()
  }
  const known = new Map(fields.map(field => [field[0], field]))
  const input = reader(data)
  while (input.pos < input.len) {
    const tag = input.uint32()
    const field = known.get(tag >>> 3)
    if (field === undefined) {
      input.skipType(tag & 7)
      continue
    }
    const [, kind, name] = field
    const wire = kind in EMPTY ? DELIMITED : KINDS[kind].wire
    if ((tag & 7) !== wire) throw new Error(`${name} has wire type ${tag & 7}`)
    if (kind === 'map') {
      const { key, value } = decode(ENTRY, input.bytes())
      values[name][key] = value
    } else if (kind === 'several') {
      values[name].push(input.bytes())
    } else {
      values[name] = input[kind]()
    }
  }
  return values
}
