// Requests that this peer makes: one long-lived stream to each peer, replies found by id.
import { checkOnStream, checkTimes, frame, frames, newId, nowNs, open, PROTOCOL, seal, send } from './wire.mjs'
import { headersOf } from './trace.mjs'
import { peerIdFromString } from '@libp2p/peer-id'

const TTL_NS = 10_000_000_000n

export class Lines {
  constructor (node, key) {
    this.node = node
    this.key = key
    this.me = node.peerId.toString()
    this.open = new Map()
  }

  // Returns the verified reply; `fields` override what a message would hold. With
  // `times` the same envelope is sent so often, and the last reply returned.
  async request (peer, type, body, span, fields = {}) {
    const now = nowNs()
    const message = {
      id: newId(),
      type,
      to: peer,
      sent_unix_ns: now,
      expires_unix_ns: now + TTL_NS,
      headers: headersOf(span),
      body,
      ...fields
    }
    const { envelope } = await seal(fields.key ?? this.key, message)
    for (let left = fields.times ?? 1; left > 1; left--) {
      await this.ask(peer, message.id, frame(envelope))
    }
    return this.ask(peer, message.id, frame(envelope))
  }

  // Sends bytes that should be a frame; ends with the reply to `id` or with the stream.
  async ask (peer, id, bytes) {
    const line = await this.#line(peer)
    const waiting = Promise.withResolvers()
    line.pending.set(id.toString('hex'), waiting)
    await send(line.stream, bytes)
    return waiting.promise
  }

  async #line (peer) {
    let line = this.open.get(peer)
    if (line === undefined) {
      const stream = await this.node.dialProtocol(peerIdFromString(peer), PROTOCOL)
      line = { stream, pending: new Map() }
      this.open.set(peer, line)
      this.#readReplies(peer, line)
    }
    return line
  }

  async #readReplies (peer, line) {
    let why = new Error('stream_ended')
    try {
      for await (const data of frames(line.stream)) {
        const reply = await open(data)
        checkOnStream(reply, { me: this.me, remote: peer })
        checkTimes(reply)
        const id = Buffer.from(reply.in_reply_to).toString('hex')
        line.pending.get(id)?.resolve(reply)
        line.pending.delete(id)
      }
    } catch (error) {
      why = error.reason === undefined ? why : error
    }
    this.open.delete(peer)
    line.stream.abort(why)
    for (const waiting of line.pending.values()) waiting.reject(why)
  }
}
