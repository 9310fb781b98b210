// permessage-deflate in literal bytes, with Node's zlib as the other side (docs/protocol.md#compression).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib'
import { accepted, openPolling } from '../support/engine-clients.mjs'
import { OP, close, frame, readClose, readEnd, readText, text } from '../support/frames.mjs'
import { WEBSOCKET, response, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

const TAIL = Buffer.from([0, 0, 0xff, 0xff])
const RSV1 = 0x40
const BOTH = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover'
const on = { perMessageDeflate: true }

/** The payload of a compressed message. */
function compress(data, options) {
  const flushed = deflateRawSync(data, { finishFlush: constants.Z_SYNC_FLUSH, ...options })
  assert.deepEqual(flushed.subarray(-4), TAIL)
  return flushed.subarray(0, -4)
}

function decompress(payload) {
  const whole = Buffer.concat([payload, TAIL])
  return inflateRawSync(whole, { finishFlush: constants.Z_SYNC_FLUSH })
}

const compressed = (data, shape) => frame(OP.TEXT, compress(data), { bits: RSV1, ...shape })

/** Reads one frame with a message: whether it is compressed, and the message. */
async function readMessage(peer) {
  const [first, second] = await peer.read(2)
  assert.equal(first & 0xb0, 0x80, 'a final frame without RSV2 and RSV3')
  let length = second
  if (second === 126) length = (await peer.read(2)).readUInt16BE()
  if (second === 127) length = Number((await peer.read(8)).readBigUInt64BE())
  const payload = await peer.read(length)
  const isCompressed = (first & RSV1) !== 0
  return { isCompressed, length, data: isCompressed ? decompress(payload) : payload }
}

/** Opens a WebSocket with an offer. Returns the answer to the offer, the peer and the session. */
async function open(world, offer = 'permessage-deflate') {
  const peer = await world.peer(upgrade(WEBSOCKET, { 'Sec-WebSocket-Extensions': offer }))
  const { headers } = await accepted(peer)
  assert.equal((await readText(peer))[0], '0')
  return { answer: headers['sec-websocket-extensions'], peer, session: await world.session() }
}

describe('negotiation', () => {
  const keeps = { serverNoContextTakeover: false, clientNoContextTakeover: false }
  const cases = [
    [true, 'permessage-deflate', BOTH],
    [true, 'permessage-deflate; client_max_window_bits', BOTH],
    [true, 'x-a; b=1, permessage-deflate; server_no_context_takeover', BOTH],
    [true, 'permessage-deflate; server_max_window_bits="10"', `${BOTH}; server_max_window_bits=10`],
    [true, 'permessage-deflate; client_max_window_bits=9', `${BOTH}; client_max_window_bits=9`],
    [true, 'permessage-deflate; server_max_window_bits=8', undefined],
    [true, 'permessage-deflate; unknown, permessage-deflate; client_max_window_bits', BOTH],
    [true, 'permessage-deflate; __proto__, constructor; toString=1', undefined],
    [true, 'permessage-deflate; server_max_window_bits', undefined],
    [true, 'permessage-deflate; client_max_window_bits=08', undefined],
    [true, 'permessage-deflate; client_no_context_takeover; client_no_context_takeover', undefined],
    [true, 'permessage-deflate; server_no_context_takeover=1', undefined],
    [keeps, 'permessage-deflate', 'permessage-deflate'],
    [keeps, 'permessage-deflate; server_no_context_takeover', undefined],
    [
      { serverMaxWindowBits: 11 },
      'permessage-deflate; server_max_window_bits=12',
      `${BOTH}; server_max_window_bits=11`,
    ],
    [{ serverMaxWindowBits: 11 }, 'permessage-deflate; server_max_window_bits=10', undefined],
    [{ clientMaxWindowBits: 11 }, 'permessage-deflate', undefined],
    [
      { clientMaxWindowBits: 11 },
      'permessage-deflate; client_max_window_bits',
      `${BOTH}; client_max_window_bits=11`,
    ],
  ]
  for (const [perMessageDeflate, offer, expected] of cases) {
    const given = JSON.stringify(perMessageDeflate)
    wire(`${given}: ${offer} → ${expected}`, { perMessageDeflate }, async (world) => {
      const { answer, peer, session } = await open(world, offer)
      assert.equal(answer, expected)
      peer.write(text('4plain'))
      await session.received(1)
    })
  }

  for (const offer of ['', 'permessage-deflate;', 'permessage-deflate; a="b c"', ';;=,"', 'a,,b']) {
    wire(`400 for ${JSON.stringify(offer)}, which is no list`, on, async (world) => {
      const peer = await world.peer(upgrade(WEBSOCKET, { 'Sec-WebSocket-Extensions': offer }))
      const { status, text: body } = await response(peer)
      assert.equal(status, 400)
      assert.equal(body, 'Invalid or unacceptable Sec-WebSocket-Extensions header')
      const { context } = await world.refusal()
      assert.equal(context.name, 'TRANSPORT_HANDSHAKE_ERROR')
    })
  }

  const few = { perMessageDeflate: keeps, maxDeflateContexts: 1 }
  wire('connections beyond maxDeflateContexts keep no context', few, async (world) => {
    const first = await open(world)
    assert.equal(first.answer, 'permessage-deflate')
    assert.equal(world.engine.stats().deflateContexts, 1)
    assert.equal((await open(world)).answer, BOTH)
    first.peer.write(close(1000))
    await first.session.closed()
    assert.equal((await open(world)).answer, 'permessage-deflate')
  })
})

describe('messages', () => {
  wire('are read whole, in fragments, and uncompressed', on, async (world) => {
    const { peer, session } = await open(world)
    const words = `4${'ÄÖ, words '.repeat(500)}`
    const payload = compress(words)
    peer.write(compressed(words), text('4plain'))
    peer.write(frame(OP.TEXT, payload.subarray(0, 7), { fin: false, bits: RSV1 }))
    peer.write(frame(OP.PING, 'x'), frame(OP.CONTINUATION, '', { fin: false }))
    peer.write(frame(OP.CONTINUATION, payload.subarray(7)))
    peer.write(frame(OP.BINARY, compress(Buffer.alloc(100_000, 1)), { bits: RSV1 }))
    peer.write(frame(OP.BINARY, '', { bits: RSV1 }))
    const body = words.slice(1)
    const expected = [body, 'plain', body, Buffer.alloc(100_000, 1), Buffer.alloc(0)]
    assert.deepEqual(await session.received(5), expected)
  })

  wire(
    'of at least `threshold` bytes are compressed, unless the app says no',
    on,
    async (world) => {
      const { peer, session } = await open(world)
      const { socket } = session
      const [short, long] = ['a'.repeat(1022), 'a'.repeat(1023)]
      socket.send(short)
      socket.send(long)
      socket.send(long, { compress: false })
      socket.send(Buffer.alloc(3000))
      socket.send(Buffer.alloc(3000), { compress: false })
      const messages = []
      for (let count = 0; count < 5; count++) messages.push(await readMessage(peer))
      const isCompressed = messages.map((message) => message.isCompressed)
      assert.deepEqual(isCompressed, [false, true, false, true, false])
      assert.deepEqual(
        messages.map(({ data }) => data.toString()),
        [`4${short}`, `4${long}`, `4${long}`, '\0'.repeat(3000), '\0'.repeat(3000)],
      )
      assert.ok(messages[1].length < 50)
    },
  )

  wire('written on polling are compressed after the upgrade', on, async (world) => {
    const client = await openPolling(world)
    const offer = { 'Sec-WebSocket-Extensions': 'permessage-deflate' }
    const peer = await world.peer(client.upgradeRequest(offer))
    assert.equal((await accepted(peer)).headers['sec-websocket-extensions'], BOTH)
    peer.write(text('2probe'))
    assert.equal(await readText(peer), '3probe')
    client.session.socket.send('b'.repeat(2000))
    client.session.socket.send('c'.repeat(2000), { compress: false })
    peer.write(text('5'))
    const [first, second] = [await readMessage(peer), await readMessage(peer)]
    assert.deepEqual([first.isCompressed, second.isCompressed], [true, false])
    assert.equal(first.data.toString(), `4${'b'.repeat(2000)}`)
  })

  wire('a client without the extension gets no compressed message', on, async (world) => {
    const { peer, session } = await open(world, 'x-other')
    session.socket.send('a'.repeat(5000))
    assert.equal((await readMessage(peer)).isCompressed, false)
  })
})

describe('bad input', () => {
  /** Sends bytes that break a rule, and checks the close. */
  async function assertViolation(world, bytes, closeCode, code) {
    const { peer, session } = await open(world)
    peer.write(compressed('4before'), bytes, text('4after'))
    assert.equal(await readClose(peer), closeCode)
    await readEnd(peer)
    const { reason, description } = await session.closed()
    assert.equal(reason, 'transport error')
    assert.equal(description.code, code)
    assert.deepEqual(session.messages, ['before'])
  }
  const marked = (payload, shape) => frame(OP.TEXT, Buffer.from(payload), { bits: RSV1, ...shape })
  const payload = compress('4hello')
  const invalid = [1007, 'ERR_UPWIRE_INVALID_COMPRESSION']
  const reserved = [1002, 'ERR_UPWIRE_INVALID_FRAME']
  const tooLarge = [1009, 'ERR_UPWIRE_PAYLOAD_TOO_LARGE']
  const ended = deflateRawSync('4hello')
  const inputs = {
    'invalid data': [marked([0xff, 0xff]), ...invalid],
    'a distance beyond the beginning': [marked([2, 2]), ...invalid],
    'data that end within a block': [marked(payload.subarray(0, 4)), ...invalid],
    'data behind the final block': [marked(Buffer.concat([ended, payload])), ...invalid],
    'text that is not UTF-8': [
      marked(compress(Buffer.from([0x34, 0xff]))),
      1007,
      'ERR_UPWIRE_INVALID_UTF8',
    ],
    'RSV1 on a continuation': [
      Buffer.concat([
        marked(payload.subarray(0, 3), { fin: false }),
        frame(OP.CONTINUATION, payload.subarray(3), { bits: RSV1 }),
      ]),
      ...reserved,
    ],
    'RSV1 on a ping': [frame(OP.PING, '', { bits: RSV1 }), ...reserved],
    'RSV1 on a close': [frame(OP.CLOSE, '', { bits: RSV1 }), ...reserved],
    'RSV2 beside RSV1': [marked(payload, { bits: 0x60 }), ...reserved],
    'a bomb': [compressed(`4${'a'.repeat(1_000_000)}`), ...tooLarge],
    'a bomb in fragments': [
      Buffer.concat(
        [compress(`4${'a'.repeat(1_000_000)}`)].flatMap((all) => [
          marked(all.subarray(0, 100), { fin: false }),
          frame(OP.CONTINUATION, all.subarray(100)),
        ]),
      ),
      ...tooLarge,
    ],
    'a length of 2 GiB': [marked('', { length: 2n ** 31n, lengthBytes: 8 }), ...tooLarge],
    'a length of 2^62': [marked('', { length: 2n ** 62n, lengthBytes: 8 }), ...tooLarge],
    'a length with its most significant bit': [
      marked('', { length: 2n ** 63n, lengthBytes: 8 }),
      ...reserved,
    ],
  }
  for (const [name, [bytes, closeCode, code]] of Object.entries(inputs)) {
    wire(`${name}: close ${closeCode}`, on, async (world) => {
      await assertViolation(world, bytes, closeCode, code)
    })
  }

  wire('a message of exactly maxHttpBufferSize is read', on, async (world) => {
    const { peer, session } = await open(world)
    peer.write(compressed(`4${'a'.repeat(999_999)}`))
    assert.equal((await session.received(1))[0].length, 999_999)
  })

  const large = { ...on, maxHttpBufferSize: 64 * 1024 * 1024 }
  wire('a large message does not hold up another connection', large, async (world) => {
    const [first, second] = [await open(world), await open(world)]
    first.peer.write(frame(OP.BINARY, compress(Buffer.alloc(60_000_000)), { bits: RSV1 }))
    await first.peer.flushed()
    second.peer.write(compressed('4small'))
    await second.session.received(1)
    assert.equal((await first.session.received(1))[0].length, 60_000_000)
  })

  wire('bombs that follow each other are read one after the other', on, async (world) => {
    const { peer, session } = await open(world)
    const bomb = frame(OP.BINARY, compress(Buffer.alloc(1_000_000)), { bits: RSV1 })
    peer.write(...Array.from({ length: 50 }, () => bomb), text('4last'))
    const messages = await session.received(51)
    assert.ok(messages.slice(0, 50).every(({ length }) => length === 1_000_000))
    assert.equal(messages[50], 'last')
  })

  wire('a bomb as a probe ends the probe alone', on, async (world) => {
    const client = await openPolling(world)
    const offer = { 'Sec-WebSocket-Extensions': 'permessage-deflate' }
    const peer = await world.peer(client.upgradeRequest(offer))
    await accepted(peer)
    peer.write(compressed('a'.repeat(900_000)))
    await readClose(peer)
    await client.prove()
  })
})
