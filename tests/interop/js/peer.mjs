// A js-libp2p peer that speaks docs/protocol.md. Takes its key's seed (hex) as argument
// and a command a line on standard input, as JSON; says what happens on standard output.
import { createInterface } from 'node:readline'
import { createHash } from 'node:crypto'
import { createLibp2p } from 'libp2p'
import { tcp } from '@libp2p/tcp'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { gossipsub, TopicValidatorResult } from '@libp2p/gossipsub'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { ACK, decode, encode, TASK_ACCEPT, TASK_INPUT, TASK_REQUEST, TASK_RESULT } from './protobuf.mjs'
import * as wire from './wire.mjs'
import { Lines } from './lines.mjs'
import { headersOf, startSpan } from './trace.mjs'
import { Offences } from './offences.mjs'
import { askTheTime, CLOCK_PROTOCOL, tellTheTime } from './clock.mjs'
import { checkClock, checkMessage, checkRecord, checkState, checkUpdate } from './vectors.mjs'

const REPLY_TTL_NS = 60_000_000_000n
const GOSSIP_TTL_NS = 60_000_000_000n
const NEW = Uint8Array.of(1)
const DUPLICATE = Uint8Array.of(0)

const key = await generateKeyPairFromSeed('Ed25519', Buffer.from(process.argv[2], 'hex'))
const node = await createLibp2p({
  privateKey: key,
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) }
})
const me = node.peerId.toString()
const lines = new Lines(node, key)
const offences = new Offences(lines, key)
const seen = new Set()
const sequences = new Map()
const kept = new Map()

const json = (_, value) => typeof value === 'bigint' ? value.toString() : value
const say = fields => process.stdout.write(`${JSON.stringify(fields, json)}\n`)
const hex = bytes => Buffer.from(bytes).toString('hex')
const told = message => Object.fromEntries(Object.entries(message).map(
  ([name, value]) => [name, value instanceof Uint8Array ? hex(value) : value]))

const nameOf = message => `${message.from} ${hex(message.id)}`

function wasSeen (message) {
  const name = nameOf(message)
  if (seen.has(name)) return true
  seen.add(name)
  return false
}

// ------------------------------------------------------------------ what others ask of us

async function serve (stream, connection) {
  const remote = connection.remotePeer.toString()
  try {
    for await (const data of wire.frames(stream)) {
      const message = await wire.open(data)
      wire.checkOnStream(message, { me, remote })
      await reply(stream, message)
    }
  } catch (error) {
    say({ event: 'refused', reason: error.reason ?? String(error) })
  }
  stream.abort(new Error('done'))
}

async function reply (stream, request) {
  const name = nameOf(request)
  if (request.keep_reply && kept.has(name)) {
    await wire.send(stream, kept.get(name))
    return
  }
  if (request.cancels.length !== 0) {
    say({ event: 'called_off', id: hex(request.cancels) })
    return
  }
  let answer
  try {
    wire.checkTimes(request)
    answer = { body: take(request) }
  } catch (error) {
    answer = { error_code: error.reason === undefined ? 'internal' : 'message_refused', error_message: error.message }
  }
  const now = wire.nowNs()
  const { envelope } = await wire.seal(key, {
    id: wire.newId(),
    type: request.type,
    to: request.from,
    in_reply_to: request.id,
    sent_unix_ns: now,
    expires_unix_ns: now + REPLY_TTL_NS,
    ...answer
  })
  const answered = wire.frame(envelope)
  if (request.keep_reply) kept.set(name, answered)
  await wire.send(stream, answered)
}

function take (request) {
  if (request.in_reply_to.length !== 0) throw new wire.Refusal('malformed')
  if (wasSeen(request)) {
    if (request.topic !== '') return DUPLICATE
    throw new wire.Refusal('replayed')
  }
  const span = startSpan(request.headers)
  say({ event: 'request', message: told(request), span })
  if (request.topic !== '') {
    act(request, span)
    return NEW
  }
  // What is asked directly is answered with its own hash, so that the asker sees that
  // it was read whole.
  return createHash('sha256').update(request.body).digest()
}

// --------------------------------------------------------------------------- our own work

function act (message, span) {
  if (message.type === 'task_request' && message.to === me) {
    workOn(message, span).catch(error => say({ event: 'failed', error: error.message }))
  }
}

// The task of this peer: it answers with the input's hash. It runs no module, and so has
// no receipt to show.
async function workOn (message, span) {
  const task = decode(TASK_REQUEST, message.body)
  const id = { task_id: task.task_id }
  const accepted = await lines.request(message.from, 'task_accept', encode(TASK_ACCEPT, id), span)
  if (accepted.error_code !== '') throw new Error(`task_accept: ${accepted.error_code}`)
  const { module, input } = decode(TASK_INPUT, accepted.body)
  const isWhole = [[module, task.module_sha256], [input, task.input_sha256]].every(
    ([bytes, expected]) => createHash('sha256').update(bytes).digest().equals(Buffer.from(expected)))
  const output = createHash('sha256').update(input).digest()
  const result = isWhole ? { outcome: 'ok', output } : { outcome: 'module', message: 'not what was announced' }
  const ended = await lines.request(message.from, 'task_result', encode(TASK_RESULT, { ...id, ...result }), span)
  say({ event: 'task_done', task_id: task.task_id, duplicate: decode(ACK, ended.body).duplicate, span })
}

// ------------------------------------------------------------------------------- gossip

async function judge (topic, gossip) {
  try {
    const message = await wire.open(gossip.data)
    wire.checkOnTopic(message, topic)
    wire.checkTimes(message)
    if (wasSeen(message)) return TopicValidatorResult.Accept
    const span = startSpan(message.headers)
    say({ event: 'gossip', message: told(message), span })
    act(message, span)
    return TopicValidatorResult.Accept
  } catch (error) {
    say({ event: 'refused', reason: error.reason ?? String(error) })
    return TopicValidatorResult.Reject
  }
}

// ------------------------------------------------------------------------------ commands

const commands = {
  async connect ({ address }) {
    const connection = await node.dial(multiaddr(address))
    return { peer_id: connection.remotePeer.toString(), encryption: connection.encryption, multiplexer: connection.multiplexer }
  },

  async subscribe ({ topic }) {
    node.services.pubsub.topicValidators.set(topic, (_, gossip) => judge(topic, gossip))
    node.services.pubsub.subscribe(topic)
    return {}
  },

  async publish ({ topic, type, body, to = '' }) {
    const sequence = (sequences.get(topic) ?? 0n) + 1n
    sequences.set(topic, sequence)
    const now = wire.nowNs()
    const span = startSpan()
    const message = {
      id: wire.newId(),
      type,
      to,
      topic,
      sent_unix_ns: now,
      expires_unix_ns: now + GOSSIP_TTL_NS,
      headers: headersOf(span),
      body: Buffer.from(body, 'hex'),
      sequence
    }
    wasSeen({ ...message, from: me })
    const { envelope } = await wire.seal(key, message)
    const { recipients } = await node.services.pubsub.publish(topic, envelope)
    return { span, id: hex(message.id), recipients: recipients.map(String) }
  },

  async request ({ peer, type, body, headers, keep_reply = false, times = 1 }) {
    const span = startSpan()
    const extra = { keep_reply, times, ...headers === undefined ? {} : { headers } }
    const answer = await lines.request(peer, type, Buffer.from(body, 'hex'), span, extra)
    return { reply: told(answer), span }
  },

  // Breaks one rule towards a peer; says how the peer took it.
  async offend ({ peer, how }) {
    try {
      const answer = await offences[how](peer)
      return { error_code: answer.error_code, error_message: answer.error_message }
    } catch (error) {
      return { stream: error.message }
    }
  },

  async ask_the_time ({ peer }) {
    return askTheTime(node, peer)
  },

  async vectors ({ vectors, records, clock }) {
    return {
      vectors: await Promise.all(vectors.map(checkMessage)),
      records: await Promise.all(records.map(checkRecord)),
      clock: clock.map(checkClock)
    }
  },

  async states ({ states, updates }) {
    return {
      states: await Promise.all(states.map(checkState)),
      updates: updates.map(checkUpdate)
    }
  }
}

await node.handle(wire.PROTOCOL, serve)
await node.handle(CLOCK_PROTOCOL, tellTheTime)
node.services.pubsub.addEventListener('subscription-change', ({ detail }) => {
  for (const { topic, subscribe } of detail.subscriptions) {
    if (subscribe) say({ event: 'subscribed', peer: detail.peerId.toString(), topic })
  }
})
say({ event: 'ready', peer_id: me, address: node.getMultiaddrs()[0].toString(), node: process.version })
const input = createInterface({ input: process.stdin })
input.on('line', async line => {
  const command = JSON.parse(line)
  try {
    say({ answers: command.number, ...await commands[command.do](command) })
  } catch (error) {
    say({ answers: command.number, error: `${error.name}: ${error.message}` })
  }
})
input.on('close', () => process.exit(0))
