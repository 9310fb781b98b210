// WebSocket frames (docs/protocol.md#websocket-frames).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { openWebSocket } from '../support/engine-clients.mjs'
import { elapse, until } from '../support/events.mjs'
import {
  OP,
  close,
  closeBody,
  frame,
  readClose,
  readEnd,
  readFrame,
  readText,
  text,
} from '../support/frames.mjs'
import { wire } from '../support/world.mjs'

/**
 * Sends bytes that break a rule; checks close code and reason, and that nothing after them is read.
 */
async function assertViolation(world, bytes, { closeCode, code, message }) {
  const { peer, session } = await openWebSocket(world)
  peer.write(text('4before'), bytes, text('4after'), close(1000), text('4after'))
  assert.equal(await readClose(peer), closeCode)
  await readEnd(peer)
  const { reason, description } = await session.closed()
  assert.equal(reason, 'transport error')
  assert.equal(description.type, 'TransportError')
  assert.equal(description.code, code)
  assert.equal(description.wsCode, closeCode)
  assert.match(description.message, message)
  assert.deepEqual(session.messages, ['before'])
}

describe('frames that break RFC 6455: close 1002, transport error', () => {
  const protocol = {
    closeCode: 1002,
    code: 'ERR_UPWIRE_INVALID_FRAME',
    message: /^Invalid WebSocket frame: /,
  }
  const open = (payload) => text(payload, { fin: false })
  const inputs = {
    'a frame without a mask': text('4hello', { mask: null }),
    'a ping without a mask': frame(OP.PING, '', { mask: null }),
    RSV1: text('4hello', { bits: 0x40 }),
    RSV2: text('4hello', { bits: 0x20 }),
    RSV3: text('4hello', { bits: 0x10 }),
    'RSV1 on a continuation': Buffer.concat([
      open('4a'),
      frame(OP.CONTINUATION, 'b', { bits: 0x40 }),
    ]),
    'RSV1 on a ping': frame(OP.PING, '', { bits: 0x40 }),
    'RSV1 on a close': frame(OP.CLOSE, '', { bits: 0x40 }),
    'a fragmented ping': frame(OP.PING, 'a', { fin: false }),
    'a fragmented pong': frame(OP.PONG, 'a', { fin: false }),
    'a fragmented close': frame(OP.CLOSE, '', { fin: false }),
    'a ping of 126 bytes': frame(OP.PING, 'a'.repeat(126)),
    'a pong of 126 bytes': frame(OP.PONG, 'a'.repeat(126)),
    'a ping of 70,000 bytes': frame(OP.PING, 'a'.repeat(70_000)),
    'a close frame of 126 bytes': frame(OP.CLOSE, closeBody(1000, 'a'.repeat(124))),
    'a continuation that continues nothing': frame(OP.CONTINUATION, '4hello'),
    'a text frame inside a fragmented message': Buffer.concat([open('4a'), text('4b')]),
    'a binary frame inside a fragmented message': Buffer.concat([
      open('4a'),
      frame(OP.BINARY, 'b'),
    ]),
    'a close frame of one byte': frame(OP.CLOSE, '\x03'),
    'a length of 16 bits for 0': text('', { lengthBytes: 2 }),
    'a length of 16 bits for 6': text('4hello', { lengthBytes: 2 }),
    'a length of 16 bits for 125': text(`4${'x'.repeat(124)}`, { lengthBytes: 2 }),
    'a length of 64 bits for 6': text('4hello', { lengthBytes: 8 }),
    'a length of 64 bits for 65,535': text(`4${'x'.repeat(65_534)}`, { lengthBytes: 8 }),
    'a length of 16 bits on a ping': frame(OP.PING, 'a', { lengthBytes: 2 }),
    'a length with its most significant bit set': text('', { lengthBytes: 8, length: 2n ** 63n }),
    'a length of all ones': text('', { lengthBytes: 8, length: 2n ** 64n - 1n }),
  }
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
    inputs[`opcode ${opcode}`] = frame(opcode, '4hello')
  }
  for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65_535]) {
    inputs[`a close frame with code ${code}`] = frame(OP.CLOSE, closeBody(code))
  }
  for (const [name, bytes] of Object.entries(inputs)) {
    wire(`closes a session whose peer sends ${name}`, {}, (world) =>
      assertViolation(world, bytes, protocol),
    )
  }

  wire('closes a session whose peer continues a message after its end', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.write(open('4a'), frame(OP.CONTINUATION, 'b'), frame(OP.CONTINUATION, 'c'), text('4after'))
    assert.equal(await readClose(peer), 1002)
    await readEnd(peer)
    assert.equal((await session.closed()).description.wsCode, 1002)
    assert.deepEqual(session.messages, ['ab'])
  })
})

describe('text that is not UTF-8: close 1007, transport error', () => {
  const invalid = { closeCode: 1007, code: 'ERR_UPWIRE_INVALID_UTF8', message: /UTF-8/ }
  const sequences = {
    'a lone byte 80': [0x80],
    'a lone byte FF': [0xff],
    'an overlong slash': [0xc0, 0xaf],
    'an overlong NUL': [0xe0, 0x80, 0x80],
    'a surrogate': [0xed, 0xa0, 0x80],
    'a code point beyond U+10FFFF': [0xf4, 0x90, 0x80, 0x80],
    'a sequence of five bytes': [0xf8, 0x88, 0x80, 0x80, 0x80],
    'a truncated sequence': [0xe2, 0x82, 0x41],
  }
  const packet = (bytes) => Buffer.from([0x34, 0x61, ...bytes])
  for (const [name, bytes] of Object.entries(sequences)) {
    wire(`closes for ${name} in a message`, {}, (world) =>
      assertViolation(world, text(packet(bytes)), invalid),
    )

    wire(`closes for ${name} in a close reason`, {}, (world) => {
      const body = Buffer.concat([closeBody(1000), Buffer.from(bytes)])
      return assertViolation(world, frame(OP.CLOSE, body), invalid)
    })

    wire(`closes for ${name} before the rest of its frame has come`, {}, async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.write(
        text(packet([...bytes, ...Buffer.alloc(1000, 0x61)])).subarray(0, 8 + 2 + bytes.length),
      )
      assert.equal(await readClose(peer), 1007)
      await readEnd(peer)
      assert.equal((await session.closed()).description.wsCode, 1007)
    })

    wire(`closes for ${name} split over fragments in every place`, {}, async (world) => {
      for (let at = 1; at < bytes.length + 2; at++) {
        const whole = packet(bytes)
        const { peer, session } = await openWebSocket(world)
        // The message never ends: the invalid text is found all the same.
        peer.write(
          text(whole.subarray(0, at), { fin: false }),
          frame(OP.PING, 'between'),
          frame(OP.CONTINUATION, Buffer.concat([whole.subarray(at), Buffer.from('aa')]), {
            fin: false,
          }),
        )
        let got = await readFrame(peer)
        if (got.opcode === OP.PONG) got = await readFrame(peer)
        assert.deepEqual([got.opcode, got.payload], [OP.CLOSE, closeBody(1007)])
        await session.closed()
      }
    })
  }

  wire('closes for a sequence that the end of the message truncates', {}, (world) =>
    assertViolation(world, text(packet([0xe2, 0x82])), invalid),
  )

  wire('closes for a sequence that the end of the last fragment truncates', {}, async (world) => {
    const bytes = Buffer.concat([
      text(packet([0xe2]), { fin: false }),
      frame(OP.CONTINUATION, Buffer.from([0x82])),
    ])
    await assertViolation(world, bytes, invalid)
  })

  wire(
    'accepts a sequence split over fragments, and any bytes in binary messages',
    {},
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      const [first, ...rest] = Buffer.from('\u{1f389}')
      peer.write(text(packet([first]), { fin: false }))
      rest.forEach((byte, index) =>
        peer.write(frame(OP.CONTINUATION, Buffer.from([byte]), { fin: index === rest.length - 1 })),
      )
      peer.write(frame(OP.BINARY, Buffer.from([0xff, 0x80])))
      assert.deepEqual(await session.received(2), ['a\u{1f389}', Buffer.from([0xff, 0x80])])
    },
  )
})

describe('a message larger than maxHttpBufferSize: close 1009 at the header', () => {
  const LIMIT = 1000
  const options = { maxHttpBufferSize: LIMIT }
  const tooBig = {
    closeCode: 1009,
    code: 'ERR_UPWIRE_PAYLOAD_TOO_LARGE',
    message: /Max payload size exceeded/,
  }

  wire('closes when the payload follows', options, (world) =>
    assertViolation(world, text(`4${'x'.repeat(LIMIT)}`), tooBig),
  )

  for (const length of [
    LIMIT + 1,
    65_535,
    65_536n,
    2n ** 31n,
    2n ** 32n + 5n,
    2n ** 53n,
    2n ** 63n - 1n,
  ]) {
    for (const opcode of [OP.TEXT, OP.BINARY]) {
      wire(
        `closes at a header that declares ${length} bytes, opcode ${opcode}, before any payload`,
        options,
        async (world) => {
          const { peer, session } = await openWebSocket(world)
          peer.write(frame(opcode, '', { length, lengthBytes: length > 65_535 ? 8 : 2 }))
          assert.equal(await readClose(peer), 1009)
          await readEnd(peer)
          const { reason, description } = await session.closed()
          assert.equal(reason, 'transport error')
          assert.match(description.message, tooBig.message)
          assert.equal(description.limit, 'maxHttpBufferSize')
          assert.equal(description.value, LIMIT)
        },
      )
    }
  }

  for (const length of [LIMIT - 9, 2n ** 63n - 1n, 2n ** 63n - 11n]) {
    wire(
      `closes when a continuation declares ${length} after 10 bytes, before its payload`,
      options,
      async (world) => {
        const { peer, session } = await openWebSocket(world)
        peer.write(text('4123456789', { fin: false }))
        peer.write(
          frame(OP.CONTINUATION, '', { length, lengthBytes: length > 65_535 ? 8 : 2, fin: false }),
        )
        assert.equal(await readClose(peer), 1009)
        await readEnd(peer)
        assert.equal((await session.closed()).reason, 'transport error')
      },
    )
  }

  wire('accepts exactly the limit in one frame and over fragments', options, async (world) => {
    const { peer, open, session } = await openWebSocket(world)
    assert.equal(open.maxPayload, LIMIT)
    const message = 'x'.repeat(LIMIT - 1)
    peer.write(text(`4${message}`))
    peer.write(
      text(`4${message.slice(500)}`, { fin: false }),
      frame(OP.CONTINUATION, message.slice(0, 500)),
    )
    peer.write(frame(OP.BINARY, 'x'.repeat(LIMIT)))
    assert.deepEqual(await session.received(3), [message, message, Buffer.alloc(LIMIT, 'x')])
  })
})

describe('ping, pong, close', () => {
  wire('answers each ping with a pong of the same payload, in order', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    const payloads = ['', 'a', Buffer.from([0, 255, 0x80]), 'x'.repeat(125)]
    peer.write(...payloads.map((payload) => frame(OP.PING, payload)))
    for (const payload of payloads) {
      assert.deepEqual(await readFrame(peer), {
        opcode: OP.PONG,
        payload: Buffer.from(payload),
        text: Buffer.from(payload).toString(),
      })
    }
    peer.write(
      text('4half', { fin: false }),
      frame(OP.PING, 'between'),
      frame(OP.CONTINUATION, 'way'),
    )
    assert.equal((await readFrame(peer)).text, 'between')
    assert.deepEqual(await session.received(1), ['halfway'])
  })

  wire('ignores an unsolicited pong', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.write(frame(OP.PONG, ''), frame(OP.PONG, 'x'.repeat(125)), text('4after'))
    assert.deepEqual(await session.received(1), ['after'])
  })

  for (const code of [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4999,
  ]) {
    wire(
      `answers a close frame with code ${code} with the same code: transport close`,
      {},
      async (world) => {
        const { peer, session } = await openWebSocket(world)
        peer.write(
          text('4before'),
          close(code, 'b\u20ac'),
          text('4after'),
          close(1002),
          Buffer.alloc(100, 0xff),
        )
        assert.equal(await readClose(peer), code)
        await readEnd(peer)
        const { reason, description } = await session.closed()
        assert.equal(reason, 'transport close')
        assert.equal(description.wsCode, code)
        assert.equal(description.wsReason, 'b\u20ac')
        assert.deepEqual(session.messages, ['before'])
      },
    )
  }

  wire(
    'answers a close frame without code with an empty one: transport close',
    {},
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.write(close())
      assert.equal(await readClose(peer), undefined)
      await readEnd(peer)
      assert.equal((await session.closed()).reason, 'transport close')
    },
  )

  wire('reads a close reason of 123 bytes', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.write(close(1000, 'r'.repeat(123)))
    assert.equal(await readClose(peer), 1000)
    assert.equal((await session.closed()).description.wsReason, 'r'.repeat(123))
  })
})

describe('connections that end without a close frame', () => {
  wire('FIN: transport close', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.write(text('4last')).finish()
    assert.equal((await session.closed()).reason, 'transport close')
    assert.deepEqual(session.messages, ['last'])
    await peer.ending()
  })

  wire(
    'FIN in the middle of a frame: transport close, and none of it is delivered',
    {},
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.write(text('4hello').subarray(0, 9)).finish()
      assert.equal((await session.closed()).reason, 'transport close')
      assert.deepEqual(session.messages, [])
    },
  )

  wire('RST: transport close', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.reset()
    assert.equal((await session.closed()).reason, 'transport close')
  })

  wire(
    'RST while the server writes: transport close or transport error',
    { maxSendBuffer: 0 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.pause()
      session.socket.send('x'.repeat(30_000_000))
      peer.reset()
      assert.match((await session.closed()).reason, /^transport (close|error)$/)
    },
  )

  wire(
    'a close frame that the peer never answers: RST after closeTimeout',
    { closeTimeout: 150 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      const started = performance.now()
      session.socket.close()
      assert.equal((await session.closed()).reason, 'forced close')
      assert.equal(await readClose(peer), undefined)
      assert.equal((await peer.rest()).length, 0)
      assert.equal(peer.ended, 'reset')
      const took = performance.now() - started
      assert.ok(took > 100, `reset after ${took} ms of closeTimeout 150`)
      assert.ok(took < 2500, `reset after ${took} ms of closeTimeout 150`)
    },
  )

  wire(
    'drops what a peer sends after the server’s close frame, until the peer answers it',
    {},
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      session.socket.send('bye')
      session.socket.close()
      assert.equal(await readText(peer), '4bye')
      assert.equal(await readClose(peer), undefined)
      peer.write(text('4too late'), frame(OP.PING, 'p'), text('\xff'), close(1000))
      await readEnd(peer)
      assert.deepEqual(session.messages, [])
      assert.equal((await session.closed()).reason, 'forced close')
    },
  )
})

describe('bytes split anywhere give the same messages', () => {
  const script = Buffer.concat([
    text('4one'),
    frame(OP.PING, 'ping'),
    text(`4${'x'.repeat(200)}\u20ac`),
    text('4fr', { fin: false }),
    frame(OP.CONTINUATION, '', { fin: false }),
    frame(OP.PONG, 'unsolicited'),
    frame(OP.CONTINUATION, 'ag\u{1f389}'),
    frame(OP.BINARY, Buffer.from([0, 255])),
    text('6'),
    text('bAQID'),
    close(4321, 'r\u00e9ason'),
  ])
  const messages = [
    'one',
    `${'x'.repeat(200)}\u20ac`,
    'frag\u{1f389}',
    Buffer.from([0, 255]),
    Buffer.from([1, 2, 3]),
  ]

  async function assertSame(world, pieces) {
    const { peer, session } = await openWebSocket(world)
    for (const piece of pieces) {
      peer.write(piece)
      await peer.flushed()
    }
    const { reason, description } = await session.closed()
    assert.equal(reason, 'transport close')
    assert.equal(description.wsCode, 4321)
    assert.equal(description.wsReason, 'r\u00e9ason')
    assert.deepEqual(session.messages, messages)
    assert.equal((await readFrame(peer)).text, 'ping')
    assert.equal(await readClose(peer), 4321)
    await readEnd(peer)
  }

  wire('in one piece', {}, (world) => assertSame(world, [script]))

  wire('byte by byte', {}, (world) =>
    assertSame(
      world,
      [...script].map((byte) => Buffer.from([byte])),
    ),
  )

  wire('in two, at each of 60 places', {}, async (world) => {
    for (let at = 1; at <= 60; at++)
      await assertSame(world, [script.subarray(0, at), script.subarray(at)])
  })

  wire('in pieces of three, five and seven bytes', {}, async (world) => {
    for (const size of [3, 5, 7]) {
      const count = Math.ceil(script.length / size)
      await assertSame(
        world,
        Array.from({ length: count }, (_, i) => script.subarray(i * size, (i + 1) * size)),
      )
    }
  })

  wire('with a pause between header and payload', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    const bytes = text(`4${'x'.repeat(300)}`)
    peer.write(bytes.subarray(0, 3))
    await elapse(20)
    peer.write(bytes.subarray(3, 9))
    await elapse(20)
    assert.deepEqual(session.messages, [])
    peer.write(bytes.subarray(9))
    assert.deepEqual(await session.received(1), ['x'.repeat(300)])
  })
})

describe('frames that the server sends', () => {
  wire(
    'are unmasked, unfragmented, of the shortest length form, without RSV bits, with text in UTF-8',
    {},
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      const { socket } = session
      for (const size of [0, 1, 124, 125, 126, 65_534, 65_535, 65_536, 100_000]) {
        socket.send('x'.repeat(size))
        socket.send(Buffer.alloc(size, 7))
        assert.equal(await readText(peer), `4${'x'.repeat(size)}`)
        const binary = await readFrame(peer)
        assert.equal(binary.opcode, OP.BINARY)
        assert.ok(binary.payload.equals(Buffer.alloc(size, 7)))
      }
      for (const lone of ['\ud800', 'a\udfff', '\u{1f389}'.slice(0, 1)]) {
        socket.send(lone)
        assert.equal(await readText(peer), `4${Buffer.from(lone)}`)
      }
      await until(() => socket.transport.writable, 'all to have left')
    },
  )
})
