// Makes each vector of docs/protocol.md anew from its inputs, and opens what it holds.
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { frame, open, peerIdOf, seal } from './wire.mjs'

const BYTES = ['id', 'body', 'in_reply_to', 'cancels']
const NUMBERS = ['sent_unix_ns', 'expires_unix_ns', 'sequence']

export async function checkVector ({ name, seed, fields, envelope: given }) {
  const key = await generateKeyPairFromSeed('Ed25519', Buffer.from(seed, 'hex'))
  const values = { ...fields }
  for (const field of BYTES) if (field in values) values[field] = Buffer.from(values[field], 'hex')
  for (const field of NUMBERS) if (field in values) values[field] = BigInt(values[field])
  const { payload, envelope } = await seal(key, values)
  const opened = await open(Buffer.from(given, 'hex'))
  return {
    name,
    peer_id: peerIdOf(key),
    message: Buffer.from(payload).toString('hex'),
    envelope: Buffer.from(envelope).toString('hex'),
    frame: frame(envelope).toString('hex'),
    opened_type: opened.type,
    opened_from: opened.from
  }
}
