// The protocol /zerostate/clock/1 of docs/protocol.md, both sides of it.
import { randomBytes } from 'node:crypto'
import { peerIdFromString } from '@libp2p/peer-id'
import { nowNs, send } from './wire.mjs'

export const CLOCK_PROTOCOL = '/zerostate/clock/1'
const QUESTION_BYTES = 8
const ANSWER_BYTES = 24
const MAX_EXCHANGES = 16

export function answerTo (question, receivedNs, sentNs) {
  const answer = Buffer.alloc(ANSWER_BYTES)
  question.copy(answer)
  answer.writeBigUInt64BE(receivedNs, QUESTION_BYTES)
  answer.writeBigUInt64BE(sentNs, 2 * QUESTION_BYTES)
  return answer
}

// Yields pieces of `size` bytes of what comes on a stream.
async function * pieces (stream, size) {
  let unread = Buffer.alloc(0)
  for await (const part of stream) {
    unread = Buffer.concat([unread, part.subarray()])
    for (; unread.length >= size; unread = unread.subarray(size)) yield unread.subarray(0, size)
  }
}

export async function tellTheTime (stream) {
  let left = MAX_EXCHANGES
  for await (const question of pieces(stream, QUESTION_BYTES)) {
    const receivedNs = nowNs()
    await send(stream, answerTo(question, receivedNs, nowNs()))
    if (--left === 0) break
  }
  await stream.close()
}

// Returns the peer's clock minus ours, and how wrong that can be, in nanoseconds.
export async function askTheTime (node, peer) {
  const stream = await node.dialProtocol(peerIdFromString(peer), CLOCK_PROTOCOL)
  const question = randomBytes(QUESTION_BYTES)
  const askedNs = nowNs()
  await send(stream, question)
  const { value: answer } = await pieces(stream, ANSWER_BYTES).next()
  const answeredNs = nowNs()
  await stream.close()
  if (Buffer.compare(answer.subarray(0, QUESTION_BYTES), question) !== 0) throw new Error('an answer to another question')
  const receivedNs = answer.readBigUInt64BE(QUESTION_BYTES)
  const sentNs = answer.readBigUInt64BE(2 * QUESTION_BYTES)
  return {
    offset_ns: ((receivedNs - askedNs) + (sentNs - answeredNs)) / 2n,
    error_ns: ((answeredNs - askedNs) - (sentNs - receivedNs)) / 2n
  }
}
