// Random packets between stock's codec of revision 3 and ours: what one writes, the other reads
// (docs/protocol.md#revision-3).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { OP, frame, readFrame } from '../support/frames.mjs'
import { post, response } from '../support/requests.mjs'
import {
  EIO3,
  decodePayload,
  encodePayload,
  openPolling3,
  openWebSocket3,
  parser,
} from '../support/revision-3.mjs'
import { wire } from '../support/world.mjs'

/** A generator of numbers that a seed repeats (mulberry32). */
function random(seed) {
  let state = seed
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit
  }
}

const CHARACTERS = [
  'a',
  '0',
  ':',
  '\x1e',
  '\0',
  '\n',
  '"',
  '\x7f',
  '\x80',
  '\xff',
  '\u0800',
  '\u20ac',
  '\uffff',
  '\u{1f600}',
  '\u{10ffff}',
]
const LENGTHS = [0, 1, 2, 9, 10, 125, 126, 1_000, 9_000]

/** A list of text and binary messages. */
function messages(next, hasBinary) {
  return Array.from({ length: 1 + next(8) }, () => {
    const length = LENGTHS[next(LENGTHS.length)]
    if (hasBinary && next(3) === 0) return Buffer.from(Array.from({ length }, () => next(256)))
    return Array.from({ length }, () => CHARACTERS[next(CHARACTERS.length)]).join('')
  })
}

/** Messages as the other side gets them: an empty text is `undefined`. */
function arrived(list) {
  return list.map((message) => (message === '' ? undefined : message))
}

const packets = (list) => list.map((data) => ({ type: 'message', data }))

/** Writes a request in pieces of random length. */
async function writeInPieces(peer, bytes, next) {
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + next(next(2) === 0 ? 16 : 4_000)
    peer.write(bytes.subarray(at, at + size))
    at += size
    await new Promise((resolve) => setImmediate(resolve))
  }
}

for (const b64 of [false, true]) {
  describe(b64 ? 'with b64' : 'with binary', () => {
    for (let seed = 1; seed <= 8; seed++) {
      wire(`polling, seed ${seed}`, EIO3, async (world) => {
        const next = random(seed)
        const client = await openPolling3(world, b64 ? '&b64=1' : '')
        for (let round = 0; round < 12; round++) {
          const list = messages(next, round % 3 > 0)
          for (const message of list) client.session.socket.send(message)
          const { body, headers } = await client.poll()
          const isText = headers['content-type'].startsWith('text/plain')
          assert.equal(isText, b64 || !list.some(Buffer.isBuffer))
          const payload = isText ? body.toString() : body
          // Byte for byte what stock writes.
          const encoded = encodePayload(packets(list), !b64)
          assert.deepEqual(payload, encoded)
          assert.deepEqual(
            decodePayload(payload).map(({ data }) => data),
            arrived(list),
          )
          const type = isText ? 'text/plain' : 'application/octet-stream'
          const peer = await world.peer()
          await writeInPieces(peer, post(client.target, encoded, { 'Content-Type': type }), next)
          assert.equal((await response(peer)).text, 'ok')
          peer.destroy()
          const got = await client.session.received(list.length)
          assert.deepEqual(got.splice(0), arrived(list))
        }
      })

      wire(`WebSocket, seed ${seed}`, EIO3, async (world) => {
        const next = random(seed + 100)
        const { peer, session } = await openWebSocket3(world, b64 ? '&b64=1' : '')
        for (let round = 0; round < 12; round++) {
          const list = messages(next, true)
          const frames = list.map((data) => {
            let encoded
            const supportsBinary = next(2) === 0
            parser.encodePacket({ type: 'message', data }, supportsBinary, (packet) => {
              encoded = packet
            })
            return frame(typeof encoded === 'string' ? OP.TEXT : OP.BINARY, encoded)
          })
          await writeInPieces(peer, Buffer.concat(frames), next)
          const got = await session.received(list.length)
          assert.deepEqual(got.splice(0), arrived(list))
          for (const message of list) session.socket.send(message)
          for (const message of arrived(list)) {
            const { opcode, payload, text } = await readFrame(peer)
            assert.equal(opcode === OP.BINARY, !b64 && Buffer.isBuffer(message))
            const packet = parser.decodePacket(opcode === OP.TEXT ? text : payload)
            assert.deepEqual([packet.type, packet.data], ['message', message])
          }
        }
      })
    }
  })
}
