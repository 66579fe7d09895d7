// One method for each rule that this peer can break towards another, called as the
// reason for which it must be refused, or as what is wrong.
import { createHash } from 'node:crypto'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import * as wire from './wire.mjs'
import { startSpan } from './trace.mjs'

const TYPE = 'task_accept'
const BODY = Buffer.from('as it was signed')
const TTL_NS = 10_000_000_000n

export class Offences {
  constructor (lines, key) {
    this.lines = lines
    this.key = key
  }

  unknown_type (peer) {
    return this.lines.request(peer, 'free_beer', BODY, startSpan())
  }

  malformed (peer) {
    return this.#request(peer, { id: Buffer.alloc(wire.ID_BYTES - 1, 7) })
  }

  author_mismatch (peer) {
    return this.#request(peer, { from: peer })
  }

  async peer_mismatch (peer) {
    const seed = createHash('sha256').update(this.lines.me).digest()
    return this.#request(peer, { key: await generateKeyPairFromSeed('Ed25519', seed) })
  }

  not_addressed (peer) {
    return this.#request(peer, { to: this.lines.me })
  }

  expired (peer) {
    return this.#request(peer, { expires_unix_ns: wire.nowNs() - 1n })
  }

  clock_skew (peer) {
    return this.#request(peer, { sent_unix_ns: wire.nowNs() - wire.MAX_SKEW_NS - TTL_NS })
  }

  async replayed (peer) {
    const id = wire.newId()
    await this.#request(peer, { id })
    return this.#request(peer, { id })
  }

  wrong_signature (peer) {
    return this.#sealed(peer, {}, bytes => { bytes[bytes.length - 1] ^= 1 })
  }

  changed_body (peer) {
    return this.#sealed(peer, {}, bytes => { bytes[bytes.indexOf(BODY)] ^= 1 })
  }

  other_domain (peer) {
    return this.#sealed(peer, { domain: 'zerostate-guild' })
  }

  other_payload_type (peer) {
    return this.#sealed(peer, { payloadType: Buffer.from('/zerostate/message/0') })
  }

  garbage (peer) {
    return this.lines.ask(peer, wire.newId(), wire.frame(Buffer.from('hello, is this a web server?')))
  }

  frame_too_large (peer) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(wire.MAX_FRAME_BYTES + 1)
    return this.lines.ask(peer, wire.newId(), length)
  }

  #request (peer, fields) {
    return this.lines.request(peer, TYPE, BODY, startSpan(), fields)
  }

  async #sealed (peer, how, spoil = () => {}) {
    const id = wire.newId()
    const now = wire.nowNs()
    const fields = { id, type: TYPE, to: peer, body: BODY, sent_unix_ns: now, expires_unix_ns: now + TTL_NS }
    const { envelope } = await wire.seal(this.key, fields, how)
    const bytes = Buffer.from(envelope)
    spoil(bytes)
    return this.lines.ask(peer, id, wire.frame(bytes))
  }
}
