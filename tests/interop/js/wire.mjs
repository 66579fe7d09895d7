// Messages and frames of docs/protocol.md: "Peers and envelopes", "Direct messages" and
// "Gossip". Nothing in here knows the Python code.
import { RecordEnvelope } from '@libp2p/peer-record'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { randomBytes } from 'node:crypto'
import { decode, encode, MESSAGE } from './protobuf.mjs'

export const PROTOCOL = '/zerostate/message/1'
export const DOMAIN = 'zerostate-message'
export const PAYLOAD_TYPE = Buffer.from('/zerostate/message/1')
export const MAX_FRAME_BYTES = 16 * 1024 * 1024
export const MAX_SKEW_NS = 120_000_000_000n
export const ID_BYTES = 16
export const TYPES = new Set([
  'guild_announce', 'guild_dissolve', 'guild_heartbeat', 'guild_join', 'guild_leave', 'guild_update',
  'task_offer', 'task_bid', 'task_request', 'task_accept', 'task_result', 'receipt_witness', 'channel_open', 'payment_update',
  'channel_funded', 'channel_close', 'channel_withdraw', 'channel_request', 'channel_sync'
])

export class Refusal extends Error {
  constructor (reason) {
    super(reason)
    this.reason = reason
  }
}

export const nowNs = () => BigInt(Date.now()) * 1_000_000n
export const newId = () => randomBytes(ID_BYTES)
export const peerIdOf = key => peerIdFromPublicKey(key.publicKey).toString()

// Returns the signed payload and the envelope around it.
export function seal (key, fields, { domain = DOMAIN, payloadType = PAYLOAD_TYPE } = {}) {
  return sealPayload(key, encode(MESSAGE, { from: peerIdOf(key), ...fields }), { domain, payloadType })
}

export async function sealPayload (key, payload, { domain, payloadType }) {
  const record = { domain, codec: payloadType, marshal: () => payload }
  const envelope = await RecordEnvelope.seal(record, key)
  return { payload, envelope: envelope.marshal() }
}

// The checks that need nothing but the bytes.
export async function open (data) {
  let envelope
  try {
    envelope = await RecordEnvelope.openAndCertify(data, DOMAIN)
  } catch {
    throw new Refusal('bad_envelope')
  }
  const isOurs = Buffer.compare(envelope.payloadType, PAYLOAD_TYPE) === 0
  if (!isOurs || envelope.publicKey.type !== 'Ed25519') throw new Refusal('bad_envelope')
  let message
  try {
    message = decode(MESSAGE, envelope.payload)
  } catch {
    throw new Refusal('malformed')
  }
  const author = peerIdFromPublicKey(envelope.publicKey).toString()
  if (message.from !== author) throw new Refusal('author_mismatch')
  const others = [message.in_reply_to, message.cancels]
  if (message.id.length !== ID_BYTES || !others.every(isIdOrEmpty)) throw new Refusal('malformed')
  if (!TYPES.has(message.type)) throw new Refusal('unknown_type')
  return message
}

const isIdOrEmpty = id => id.length === 0 || id.length === ID_BYTES

export function checkOnStream (message, { me, remote }) {
  if (message.from !== remote) throw new Refusal('peer_mismatch')
  const isGossipToAll = message.to === '' && message.topic !== ''
  if (message.to !== me && !isGossipToAll) throw new Refusal('not_addressed')
}

export function checkOnTopic (message, topic) {
  if (message.topic !== topic) throw new Refusal('topic_mismatch')
  if (message.in_reply_to.length !== 0 || message.cancels.length !== 0) throw new Refusal('malformed')
}

export function checkTimes (message, now = nowNs()) {
  const off = now - message.sent_unix_ns
  if (off > MAX_SKEW_NS || off < -MAX_SKEW_NS) throw new Refusal('clock_skew')
  if (now >= message.expires_unix_ns) throw new Refusal('expired')
}

export function frame (envelope) {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(envelope.length)
  return Buffer.concat([length, envelope])
}

// Yields the envelopes that come on a stream, until it ends.
export async function * frames (stream) {
  let unread = Buffer.alloc(0)
  for await (const part of stream) {
    unread = Buffer.concat([unread, part.subarray()])
    while (unread.length >= 4) {
      const size = unread.readUInt32BE(0)
      if (size > MAX_FRAME_BYTES) throw new Refusal('frame_too_large')
      if (unread.length < 4 + size) break
      yield unread.subarray(4, 4 + size)
      unread = unread.subarray(4 + size)
    }
  }
}

export async function send (stream, data) {
  if (!stream.send(data)) await stream.onDrain()
}
