// Channel states of docs/protocol.md, "Channel states". Nothing in here knows the Python
// code, and the hashes and signatures are another library's.
import { createHash } from 'node:crypto'
import { keccak_256 as keccak } from '@noble/hashes/sha3.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { ADDRESS_BINDING, CHANNEL_TERMS, encode, SIGNED_STATE, TASK_PAYMENT } from './protobuf.mjs'
import { peerIdOf, sealPayload } from './wire.mjs'

const BINDING_SEAL = { domain: 'zerostate-address-binding', payloadType: Buffer.from('/zerostate/address-binding/1') }
const PAYMENT = 'Payment(string taskId,bytes32 receiptHash,uint256 amount)'
const WORD_BYTES = 32

const bytes = text => Buffer.from(text.replace(/^0x/, ''), 'hex')
const hash = (...parts) => Buffer.from(keccak(Buffer.concat(parts.map(part => Buffer.from(part)))))

function word (number) {
  const padded = Buffer.alloc(WORD_BYTES)
  padded.writeBigUInt64BE(number, WORD_BYTES - 8)
  return padded
}

const addressWord = address => Buffer.concat([Buffer.alloc(WORD_BYTES - address.length), address])

function addressOf (key) {
  const point = secp256k1.getPublicKey(key, false)
  return hash(point.subarray(1)).subarray(-20)
}

// r, s and v; of both possible s the lower one.
function sign (digest, key) {
  const [recovery, ...compact] = secp256k1.sign(digest, key, { prehash: false, format: 'recovered', lowS: true })
  return Buffer.from([...compact, 27 + recovery])
}

async function bindingOf (identity, key) {
  const text = Buffer.from(`ZeroState: this address belongs to the peer ${peerIdOf(identity)}`)
  const digest = hash(`\x19Ethereum Signed Message:\n${text.length}`, text)
  const payload = encode(ADDRESS_BINDING, { address: addressOf(key), signature: sign(digest, key) })
  return (await sealPayload(identity, payload, BINDING_SEAL)).envelope
}

export async function termsOf (fields, payer, payee) {
  const contract = bytes(fields.contract)
  const [chainId, deposit] = [BigInt(fields.chain_id), BigInt(fields.deposit)]
  const payeeId = peerIdOf(payee.identity)
  const id = hash(
    hash('Channel(uint256 chainId,address verifyingContract,address payer,string payee,uint256 deposit,bytes32 salt)'),
    word(chainId), addressWord(contract), addressWord(addressOf(payer.key)), hash(payeeId), word(deposit), bytes(fields.salt))
  const encoded = encode(CHANNEL_TERMS, {
    chain_id: chainId,
    contract,
    payer_binding: await bindingOf(payer.identity, payer.key),
    payee_peer_id: payeeId,
    payee_binding: await bindingOf(payee.identity, payee.key),
    deposit,
    salt: bytes(fields.salt)
  })
  return { chainId, contract, id, encoded }
}

// What stands for several tasks in the one struct that is signed.
function listed (payments) {
  const list = createHash('sha256')
  for (const { task_id: taskId, receipt_sha256: receipt, amount } of payments) {
    const [size, paid] = [Buffer.alloc(2), Buffer.alloc(8)]
    size.writeUInt16BE(Buffer.byteLength(taskId))
    paid.writeBigUInt64BE(amount)
    for (const part of [size, taskId, receipt, paid]) list.update(part)
  }
  return list.digest()
}

export function paymentHash (payments) {
  const [first] = payments
  const isOne = payments.length === 1
  const name = isOne ? first.task_id : `${payments.length} tasks`
  const total = payments.reduce((sum, one) => sum + one.amount, 0n)
  return hash(hash(PAYMENT), hash(name), isOne ? first.receipt_sha256 : listed(payments), word(total))
}

function digestOf (terms, { nonce, net, payments }) {
  const domain = hash(
    hash('EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)'),
    hash('ZeroState Channel'), hash('1'), word(terms.chainId), addressWord(terms.contract))
  const state = hash(
    hash(`ChannelState(bytes32 channelId,uint64 nonce,int256 net,Payment payment)${PAYMENT}`),
    terms.id, word(nonce), word(net), paymentHash(payments))
  return hash([0x19, 0x01], domain, state)
}

export async function signed (fields, payer, payee) {
  const payments = fields.payments.map(one => (
    { task_id: one.task_id, receipt_sha256: bytes(one.receipt_sha256), amount: BigInt(one.amount) }))
  const update = { nonce: BigInt(fields.nonce), net: BigInt(fields.net), payments }
  const terms = await termsOf(fields, payer, payee)
  const digest = digestOf(terms, update)
  const [first, ...others] = payments
  const values = {
    terms: terms.encoded,
    nonce: update.nonce,
    net: update.net,
    ...first,
    payer_signature: sign(digest, payer.key),
    others: others.map(one => encode(TASK_PAYMENT, one))
  }
  return {
    channelId: terms.id,
    paymentHash: paymentHash(payments),
    digest,
    proposal: encode(SIGNED_STATE, values),
    state: encode(SIGNED_STATE, { ...values, payee_signature: sign(digest, payee.key) })
  }
}
