// Makes each vector of docs/protocol.md anew from its inputs, and opens what it holds.
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { RecordEnvelope } from '@libp2p/peer-record'
import { answerTo } from './clock.mjs'
import { decode, encode, PAYMENT_UPDATE, RECORD } from './protobuf.mjs'
import { signed } from './state.mjs'
import { frame, open, peerIdOf, seal, sealPayload } from './wire.mjs'

const RECORD_SEAL = { domain: 'zerostate-dht-record', payloadType: Buffer.from('/zerostate/dht-record/1') }
const BYTES = ['id', 'body', 'in_reply_to', 'cancels', 'value']
const NUMBERS = ['sent_unix_ns', 'expires_unix_ns', 'sequence']

const bytes = text => Buffer.from(text, 'hex')
const hex = data => Buffer.from(data).toString('hex')
const keyOf = seed => generateKeyPairFromSeed('Ed25519', bytes(seed))

function parsed (fields) {
  const values = { ...fields }
  for (const field of BYTES) if (field in values) values[field] = bytes(values[field])
  for (const field of NUMBERS) if (field in values) values[field] = BigInt(values[field])
  return values
}

export async function checkMessage ({ seed, fields, envelope: given }) {
  const key = await keyOf(seed)
  const { payload, envelope } = await seal(key, parsed(fields))
  const opened = await open(bytes(given))
  return {
    peer_id: peerIdOf(key),
    message: hex(payload),
    envelope: hex(envelope),
    frame: hex(frame(envelope)),
    opened: { type: opened.type, from: opened.from }
  }
}

export async function checkRecord ({ seed, name, fields, envelope: given }) {
  const key = await keyOf(seed)
  const path = `/zerostate/peer/${peerIdOf(key)}/${name}`
  const { payload, envelope } = await sealPayload(key, encode(RECORD, { key: path, ...parsed(fields) }), RECORD_SEAL)
  const opened = await RecordEnvelope.openAndCertify(bytes(given), RECORD_SEAL.domain)
  return {
    key: path,
    record: hex(payload),
    envelope: hex(envelope),
    opened: { key: decode(RECORD, opened.payload).key, payload_type: Buffer.from(opened.payloadType).toString() }
  }
}

export function checkClock ({ question, received_unix_ns: received, sent_unix_ns: sent }) {
  return { answer: hex(answerTo(bytes(question), BigInt(received), BigInt(sent))) }
}

export async function checkState ({ payer, payee, fields }) {
  const [paying, paid] = await Promise.all([payer, payee].map(
    async ({ seed, key }) => ({ identity: await keyOf(seed), key: bytes(key) })))
  const made = await signed(fields, paying, paid)
  return {
    channel_id: `0x${hex(made.channelId)}`,
    payment_hash: hex(made.paymentHash),
    digest: hex(made.digest),
    proposal: hex(made.proposal),
    state: hex(made.state)
  }
}

// The body of a payment_update, as read and as written again.
export function checkUpdate (body) {
  const update = decode(PAYMENT_UPDATE, bytes(body))
  return {
    body: hex(encode(PAYMENT_UPDATE, update)),
    proposal: hex(update.proposal),
    traceparents: update.traceparents.map(one => Buffer.from(one).toString())
  }
}
