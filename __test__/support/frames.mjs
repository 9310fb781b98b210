// WebSocket frames as bytes: a builder that can break every rule, and a reader that accepts no
// broken rule.

import assert from 'node:assert/strict'

export const OP = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 }

const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d])

/**
 * A frame as a client sends it.
 * @param {object} [shape] `lengthBytes` (0, 2, 8) forces a form of the length, `length` is a length
 *   other than the payload's, `bits` sets RSV bits (0x40, 0x20, 0x10)
 */
export function frame(opcode, payload = '', shape = {}) {
  const bytes = Buffer.from(payload)
  const { fin = true, mask = MASK, bits = 0, length = bytes.length, lengthBytes } = shape
  const form = lengthBytes ?? (length < 126 ? 0 : length < 65_536 ? 2 : 8)
  const head = Buffer.alloc(2 + form)
  head[0] = (fin ? 0x80 : 0) | bits | opcode
  head[1] = (mask ? 0x80 : 0) | (form === 0 ? Number(length) : form === 2 ? 126 : 127)
  if (form === 2) head.writeUInt16BE(Number(length), 2)
  if (form === 8) head.writeBigUInt64BE(BigInt(length), 2)
  if (!mask) return Buffer.concat([head, bytes])
  return Buffer.concat([head, mask, bytes.map((byte, index) => byte ^ mask[index % 4])])
}

/** A text frame. */
export function text(payload, shape) {
  return frame(OP.TEXT, payload, shape)
}

/** The body of a close frame. */
export function closeBody(code, reason = '') {
  return Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)])
}

/** A close frame. */
export function close(code, reason) {
  return frame(OP.CLOSE, code === undefined ? '' : closeBody(code, reason))
}

/**
 * Reads a frame from the server: unmasked, unfragmented, without RSV bits, of the shortest length
 * form, with text in UTF-8.
 * @param {import('./peer.mjs').Peer} peer
 */
export async function readFrame(peer) {
  const [first, second] = await peer.read(2)
  assert.equal(first & 0x70, 0, 'a frame from the server has RSV bits')
  assert.equal(first & 0x80, 0x80, 'a frame from the server is not final')
  assert.equal(second & 0x80, 0, 'a frame from the server is masked')
  const length = await readLength(peer, second)
  const opcode = first & 15
  assert.ok(Object.values(OP).includes(opcode), `a frame from the server has opcode ${opcode}`)
  if (opcode >= OP.CLOSE) assert.ok(length <= 125, 'a control frame from the server is too long')
  const payload = await peer.read(length)
  if (opcode === OP.TEXT) new TextDecoder('utf-8', { fatal: true }).decode(payload)
  return { opcode, payload, text: payload.toString() }
}

async function readLength(peer, second) {
  if (second < 126) return second
  if (second === 126) {
    const length = (await peer.read(2)).readUInt16BE()
    assert.ok(length > 125, 'a length from the server is not minimal')
    return length
  }
  const length = Number((await peer.read(8)).readBigUInt64BE())
  assert.ok(length > 65_535, 'a length from the server is not minimal')
  return length
}

/** Reads a text frame and returns its text. */
export async function readText(peer) {
  const { opcode, text: got } = await readFrame(peer)
  assert.equal(opcode, OP.TEXT, `a text frame, got opcode ${opcode} ${JSON.stringify(got)}`)
  return got
}

/** Reads a close frame and returns its code; `undefined` when it has none. */
export async function readClose(peer) {
  const { opcode, payload } = await readFrame(peer)
  assert.equal(
    opcode,
    OP.CLOSE,
    `a close frame, got opcode ${opcode} ${JSON.stringify(payload.toString())}`,
  )
  if (payload.length === 0) return undefined
  assert.equal(payload.length, 2, 'a close frame from the server has a reason')
  return payload.readUInt16BE()
}

/** Checks that after its close frame the server sends nothing more and ends its side. */
export async function readEnd(peer) {
  assert.equal((await peer.rest()).toString('hex'), '', 'bytes after the close frame')
  assert.equal(peer.ended, 'fin')
}
