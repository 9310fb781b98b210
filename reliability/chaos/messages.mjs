// Numbered, checksummed messages.

import { crc32 } from 'node:zlib'

const POOL = 1 << 20
/**
 * Characters of one, two and three bytes in UTF-8. None is half a surrogate pair, so every slice is
 * valid.
 */
const ALPHABET = 'abc "\\<>&\u0000é漢字ßΩ€'

/** Makes the messages that one side of a connection sends. */
export class Sender {
  sent = 0
  #random
  #pool

  constructor(random, pool) {
    this.#random = random
    this.#pool = pool
  }

  /** The next message: its number, the checksum of its payload, and the payload. */
  next() {
    const random = this.#random
    const payload = random.chance(0.4)
      ? this.#pool.bytes(random, size(random))
      : this.#pool.text(random, size(random))
    const number = this.sent++
    return { number, sum: checksum(number, payload), payload }
  }
}

/** Checks the messages that one side receives. */
export class Receiver {
  received = 0

  /** A description of the error in a message, or null. */
  check({ number, sum, payload }) {
    if (number !== this.received) return `number ${number} came where ${this.received} was due`
    this.received++
    if (sum === checksum(number, payload)) return null
    return `number ${number} is damaged (${typeof payload}, ${payload.length} long)`
  }
}

/** The supply of random data that payloads are sliced from. */
export class Pool {
  #bytes = Buffer.alloc(POOL)
  #text

  constructor(random) {
    for (let at = 0; at < POOL; at++) this.#bytes[at] = random.between(0, 255)
    this.#text = Array.from({ length: POOL / 2 }, () => random.pick(ALPHABET)).join('')
  }

  bytes(random, size) {
    const start = random.between(0, POOL - size)
    return this.#bytes.subarray(start, start + size)
  }

  text(random, size) {
    const length = Math.min(size, POOL / 4)
    const start = random.between(0, POOL / 2 - length)
    return this.#text.slice(start, start + length)
  }
}

function size(random) {
  const kind = random.next()
  if (kind < 0.9) return random.between(0, 200)
  if (kind < 0.998) return random.between(200, 5_000)
  return random.between(5_000, 300_000)
}

/** Includes the number, so that the payload of another message does not pass. */
export function checksum(number, payload) {
  return (crc32(payload) ^ number) >>> 0
}

/** Encodes a message as one Engine.IO message. */
export function encode({ number, sum, payload }) {
  if (typeof payload === 'string') return `m${number} ${sum} ${payload}`
  const head = Buffer.alloc(8)
  head.writeUInt32BE(number, 0)
  head.writeUInt32BE(sum, 4)
  return Buffer.concat([head, payload])
}

export function decode(data) {
  if (typeof data === 'string') {
    const first = data.indexOf(' ')
    const second = data.indexOf(' ', first + 1)
    return {
      number: Number(data.slice(1, first)),
      sum: Number(data.slice(first + 1, second)),
      payload: data.slice(second + 1),
    }
  }
  const bytes = asBuffer(data)
  return {
    number: bytes.readUInt32BE(0),
    sum: bytes.readUInt32BE(4),
    payload: bytes.subarray(8),
  }
}

/** Clients deliver binary data in several types. */
export function asBuffer(data) {
  if (Buffer.isBuffer(data)) return data
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return Buffer.from(data)
}
