// Polling bodies, and the requests that carry them (docs/protocol.md#polling-bodies).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { openPolling, openWebSocket } from '../support/engine-clients.mjs'
import { until } from '../support/events.mjs'
import { text } from '../support/frames.mjs'
import { get, request, response } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

const HOST = { Host: '127.0.0.1' }
const CHUNKED = { ...HOST, 'Transfer-Encoding': 'chunked' }
const LIMIT = 1000

function chunk(bytes) {
  const body = Buffer.from(bytes)
  return Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')])
}

const LAST = '0\r\n\r\n'

/** The head of a POST whose body is still to come. */
function postHead(client, headers) {
  return request(`POST ${client.target}`, { ...HOST, ...headers })
}

async function assertTransportError({ session }, message, code) {
  const { reason, description } = await session.closed()
  assert.equal(reason, 'transport error')
  assert.equal(description.type, 'TransportError')
  assert.match(description.message, message)
  if (code !== undefined) assert.equal(description.code, code)
  return description
}

/** Checks that the answer is an empty refusal and that the connection then ends. */
async function assertFinal(peer, status) {
  const answer = await response(peer)
  assert.equal(answer.status, status)
  assert.equal(answer.text, '')
  assert.equal(answer.headers.connection, 'close')
  assert.equal((await peer.rest()).length, 0)
}

describe('a body larger than maxHttpBufferSize is refused with 413 at once, and the session closes', () => {
  const options = { maxHttpBufferSize: LIMIT }
  const tooLarge = (client) =>
    assertTransportError(client, /Max payload size exceeded/, 'ERR_UPWIRE_PAYLOAD_TOO_LARGE')

  for (const length of [LIMIT + 1, 2 ** 31, 2 ** 32 + 5, 2 ** 53, '99999999999999999']) {
    wire(
      `refuses Content-Length ${length} without waiting for the body`,
      options,
      async (world) => {
        const client = await openPolling(world)
        const peer = await world.peer(postHead(client, { 'Content-Length': length }))
        await assertFinal(peer, 413)
        await tooLarge(client)
        assert.deepEqual(client.session.messages, [])
      },
    )
  }

  wire(
    'refuses a Content-Length above the limit whose body is sent all the same',
    options,
    async (world) => {
      const client = await openPolling(world)
      const peer = await client.post(`4${'x'.repeat(LIMIT * 20)}`)
      assert.equal((await response(peer)).status, 413)
      await peer.ending()
      await tooLarge(client)
      assert.deepEqual(client.session.messages, [])
    },
  )

  wire('refuses a chunked body as soon as its bytes exceed the limit', options, async (world) => {
    const client = await openPolling(world)
    const peer = await world.peer(
      postHead(client, CHUNKED),
      chunk('4'),
      chunk('x'.repeat(LIMIT - 1)),
      chunk('x'),
    )
    await assertFinal(peer, 413)
    await tooLarge(client)
    assert.deepEqual(client.session.messages, [])
  })

  wire('refuses a chunk that never ends', options, async (world) => {
    const client = await openPolling(world)
    const peer = await world.peer(postHead(client, CHUNKED), 'ffffffff\r\n', 'x'.repeat(LIMIT + 1))
    await assertFinal(peer, 413)
    await tooLarge(client)
  })

  wire(
    'accepts exactly the limit: with Content-Length, chunked, multi-byte',
    options,
    async (world) => {
      const client = await openPolling(world)
      const body = `4${'x'.repeat(LIMIT - 1)}`
      await client.send(body)
      const peer = await world.peer(
        postHead(client, CHUNKED),
        chunk(body.slice(0, 500)),
        chunk(body.slice(500)),
        LAST,
      )
      assert.equal((await response(peer)).text, 'ok')
      const wide = `4${'\u20ac'.repeat((LIMIT - 1) / 3)}`
      assert.equal(Buffer.byteLength(wide), LIMIT)
      await client.send(wide)
      assert.deepEqual(await client.session.received(3), [
        body.slice(1),
        body.slice(1),
        wide.slice(1),
      ])
      assert.equal(client.open.maxPayload, LIMIT)
    },
  )

  wire('answers the parked GET', options, async (world) => {
    const client = await openPolling(world)
    const parked = await client.park()
    await assertFinal(await world.peer(postHead(client, { 'Content-Length': LIMIT + 1 })), 413)
    assert.deepEqual([(await response(parked)).status], [200])
    await tooLarge(client)
  })
})

describe('bad packets in a payload: earlier packets are delivered, 200 ok, parse error', () => {
  const payloads = {
    'an empty body': ['', []],
    'a separator alone': ['\x1e', []],
    'separators only': ['\x1e'.repeat(100), []],
    'an unknown packet': ['4a\x1e4b\x1e9\x1e4c', ['a', 'b']],
    'a separator at the end': ['4a\x1e', ['a']],
    'two separators': ['4a\x1e\x1e4b', ['a']],
    'invalid base64': ['4a\x1eb*\x1e4b', ['a']],
    'a binary payload of EIO 3': ['\x00\x06\xff4hello', []],
    'a text payload of EIO 3': ['7:4hello', []],
    'a JSONP body': ['d=4hello', []],
  }
  for (const [name, [payload, delivered]] of Object.entries(payloads)) {
    wire(name, {}, async (world) => {
      const client = await openPolling(world)
      const answer = await response(await client.post(payload))
      assert.deepEqual([answer.status, answer.text], [200, 'ok'])
      assert.equal(answer.headers['content-type'], 'text/html')
      const { reason } = await client.session.closed()
      assert.equal(reason, 'parse error')
      assert.deepEqual(client.session.messages, delivered)
    })
  }

  wire('an empty chunked body', {}, async (world) => {
    const client = await openPolling(world)
    const answer = await response(await world.peer(postHead(client, CHUNKED), LAST))
    assert.deepEqual([answer.status, answer.text], [200, 'ok'])
    assert.equal((await client.session.closed()).reason, 'parse error')
  })

  wire('treats a POST with neither length nor encoding as an empty body', {}, async (world) => {
    const client = await openPolling(world)
    const answer = await response(await world.peer(postHead(client, {})))
    assert.deepEqual([answer.status, answer.text], [200, 'ok'])
    assert.equal((await client.session.closed()).reason, 'parse error')
  })
})

describe('refused content types and encodings', () => {
  const OCTETS = { 'Content-Type': 'application/octet-stream' }

  wire('refuses application/octet-stream with 400, invalid content', {}, async (world) => {
    const client = await openPolling(world)
    const parked = await client.park()
    const answer = await response(await client.post('4hello', OCTETS))
    assert.deepEqual([answer.status, answer.text], [400, ''])
    assert.equal((await response(parked)).status, 200)
    await assertTransportError(client, /invalid content/)
    assert.deepEqual(client.session.messages, [])
  })

  wire(
    'refuses application/octet-stream whose body never comes, and leaves nothing behind',
    {},
    async (world) => {
      const client = await openPolling(world)
      const peer = await world.peer(
        postHead(client, { ...OCTETS, 'Content-Length': '1000' }),
        '4he',
      )
      await assertFinal(peer, 400)
      await assertTransportError(client, /invalid content/)
    },
  )

  wire('refuses 20 of them at once and leaves nothing behind', {}, async (world) => {
    for (let round = 0; round < 20; round++) {
      const client = await openPolling(world)
      const peer = await world.peer(
        postHead(client, { ...OCTETS, 'Content-Length': '70000' }),
        'x'.repeat(30_000),
      )
      assert.equal((await response(peer)).status, 400)
      await peer.ending()
      await assertTransportError(client, /invalid content/)
    }
  })

  const body = '4hello'
  for (const [encoding, bytes] of [
    ['gzip', gzipSync(body)],
    ['deflate', deflateSync(body)],
    ['br', brotliCompressSync(body)],
    ['x-gzip', gzipSync(body)],
    ['gzip, gzip', gzipSync(gzipSync(body))],
    ['identity, gzip', gzipSync(body)],
    ['constructor', body],
  ]) {
    wire(
      `refuses Content-Encoding: ${encoding} with 415 and never inflates the body`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const headers = { ...HOST, 'Content-Encoding': encoding, 'Content-Length': bytes.length }
        const peer = await world.peer(request(`POST ${client.target}`, headers, bytes))
        const answer = await response(peer)
        assert.deepEqual([answer.status, answer.text], [415, ''])
        await assertTransportError(client, /./)
        assert.deepEqual(client.session.messages, [])
      },
    )
  }

  wire('refuses a gzip bomb with 415 before its body has come', {}, async (world) => {
    const client = await openPolling(world)
    const bomb = gzipSync(Buffer.alloc(20_000_000))
    const headers = { 'Content-Encoding': 'gzip', 'Content-Length': bomb.length }
    await assertFinal(await world.peer(postHead(client, headers)), 415)
    await assertTransportError(client, /./)
  })

  wire('accepts Content-Encoding: identity', {}, async (world) => {
    const client = await openPolling(world)
    for (const encoding of ['identity', 'Identity']) {
      const answer = await response(await client.post(body, { 'Content-Encoding': encoding }))
      assert.equal(answer.text, 'ok')
    }
    assert.deepEqual(await client.session.received(2), ['hello', 'hello'])
  })
})

describe('the text of a body', () => {
  const broken = [
    [0x34, 0x61, 0xff, 0x62],
    [0x34, 0xc3],
    [0x34, 0xe2, 0x82],
    [0x34, 0xc0, 0xaf],
    [0x34, 0xed, 0xa0, 0x80],
    [0x34, 0xf4, 0x90, 0x80, 0x80],
    [0x34, 0x80, 0x80, 0x61],
    [0x34, 0xf0, 0x9f, 0x8e, 0x1e, 0x34, 0x61],
  ]
  wire('decodes invalid UTF-8 as U+FFFD, as Buffer.toString() does', {}, async (world) => {
    const client = await openPolling(world)
    const expected = []
    for (const bytes of broken) {
      const body = Buffer.from(bytes)
      assert.equal((await response(await client.post(body))).text, 'ok')
      expected.push(
        ...body
          .toString()
          .split('\x1e')
          .map((packet) => packet.slice(1)),
      )
    }
    assert.deepEqual(await client.session.received(expected.length), expected)
  })

  wire('keeps multi-byte text whole when chunks and segments split it', {}, async (world) => {
    const client = await openPolling(world)
    const body = Buffer.from('4a\u00e9\u20ac\u{1f389}\x1e4\u{1f389}')
    const peer = await world.peer(postHead(client, CHUNKED))
    for (const byte of body) {
      peer.write(chunk([byte]))
      await peer.flushed()
    }
    peer.write(LAST)
    assert.equal((await response(peer)).text, 'ok')
    assert.deepEqual(await client.session.received(2), ['a\u00e9\u20ac\u{1f389}', '\u{1f389}'])
  })
})

describe('packets that end the session', () => {
  wire(
    'a close packet with more behind it: the rest is ignored, and the parked GET gets 6',
    {},
    async (world) => {
      const client = await openPolling(world)
      const parked = await client.park()
      await client.send('4before\x1e1\x1e4after\x1e2')
      assert.equal((await response(parked)).text, '6')
      const { reason } = await client.session.closed()
      assert.equal(reason, 'transport close')
      assert.deepEqual(client.session.messages, ['before'])
    },
  )
})

describe('many packets', () => {
  wire(
    'delivers 50,000 tiny packets in slices, with turns of the event loop in between',
    {},
    async (world) => {
      const client = await openPolling(world)
      const payload = Array.from({ length: 50_000 }, (_, index) => `4${index}`).join('\x1e')
      const { session } = client
      let turns = 0
      const counts = new Set()
      const turn = () => {
        if (session.messages.length > 0) {
          turns++
          counts.add(session.messages.length)
        }
        if (session.messages.length < 50_000) setImmediate(turn)
      }
      setImmediate(turn)
      await client.send(payload)
      await session.received(50_000)
      session.messages.forEach((message, index) => assert.equal(message, String(index)))
      assert.ok(counts.size > 20, `${counts.size} slices, ${turns} turns of the event loop`)
    },
  )

  // The I/O thread reads at most a receive queue ahead of JavaScript, about 4,600 of these packets;
  // the other client's message comes right after those, however slow the machine is.
  const options = { maxReceiveQueue: 300_000 }
  wire('serves another client before it has delivered all of them', options, async (world) => {
    const client = await openPolling(world)
    const { peer, session } = await openWebSocket(world)
    const { socket, messages } = client.session
    // The other client sends its message once the first packet has been delivered.
    socket.once('data', () => peer.write(text('4me too')))
    let before
    session.socket.on('data', () => {
      before = messages.length
    })
    await client.send(Array(50_000).fill('4x').join('\x1e'))
    await session.received(1)
    await client.session.received(50_000)
    assert.ok(before < 10_000, `it was served after ${before} of the 50,000`)
  })
})

describe('overlapping requests', () => {
  wire('a second GET: 400, the parked GET gets 1, transport error', {}, async (world) => {
    const client = await openPolling(world)
    const parked = await client.park()
    const second = await response(await client.get())
    assert.deepEqual([second.status, second.text], [400, ''])
    const first = await response(parked)
    assert.deepEqual([first.status, first.text], [200, '1'])
    await assertTransportError(client, /^overlap from client/)
  })

  wire(
    'a second GET pipelined on the same connection: 400, the parked GET gets 1, transport error',
    {},
    async (world) => {
      const client = await openPolling(world)
      const peer = await world.peer(get(client.target), get(client.target))
      const first = await response(peer)
      assert.deepEqual([first.status, first.text], [200, '1'])
      assert.equal((await response(peer)).status, 400)
      await assertTransportError(client, /^overlap from client/)
    },
  )

  wire('a second POST: 400, the first is ended, transport error', {}, async (world) => {
    const client = await openPolling(world)
    const parked = await client.park()
    const first = await world.peer(postHead(client, { 'Content-Length': '100' }), '4half')
    // An answer to a later request shows that the server has read the head of the first.
    await response(await world.peer(get('/')))
    const second = await response(await client.post('4second'))
    assert.deepEqual([second.status, second.text], [400, ''])
    await first.ending()
    assert.equal((await response(parked)).status, 200)
    await assertTransportError(client, /overlap from client/)
    assert.deepEqual(client.session.messages, [])
  })
})

describe('requests that their client drops', () => {
  for (const leave of ['reset', 'finish', 'destroy']) {
    wire(
      `closes the session once with transport error for a parked GET, by ${leave}`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const parked = await client.park()
        parked[leave]()
        await assertTransportError(client, /^poll connection closed prematurely/)
        assert.equal((await parked.rest()).length, 0, 'a dropped GET gets no answer')
      },
    )

    wire(
      `closes the session once with transport error for half a POST, by ${leave}`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const peer = await world.peer(postHead(client, { 'Content-Length': '100' }), '4half')
        await peer.flushed()
        peer[leave]()
        await assertTransportError(client, /^data request connection closed prematurely/)
        assert.deepEqual(client.session.messages, [])
      },
    )

    wire(
      `closes the session once with transport error for half a chunked POST, by ${leave}`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const peer = await world.peer(postHead(client, CHUNKED), chunk('4half'))
        await peer.flushed()
        peer[leave]()
        await assertTransportError(client, /^data request connection closed prematurely/)
        assert.deepEqual(client.session.messages, [])
      },
    )
  }

  for (const size of [10, 8_000_000]) {
    wire(
      `does not close the session for a GET dropped after Node has taken its answer of ${size} bytes`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const parked = await client.park()
        client.session.socket.send('x'.repeat(size))
        // The first bytes show that Node has taken the answer; most of it has not been sent yet.
        await parked.readThrough('\r\n')
        parked.pause().reset()
        await client.prove()
        assert.deepEqual(client.session.closes, [])
      },
    )
  }
})

describe('the heartbeat ends slow requests and their connections', () => {
  // Long enough to set up the slow request before the first ping, on a loaded machine as well.
  const options = { pingInterval: 2000, pingTimeout: 300 }

  function connections({ server }) {
    return new Promise((resolve, reject) => {
      server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
    })
  }

  function assertConnectionsEnd(world) {
    const none = () => connections(world).then((count) => count === 0)
    return until(none, 'the server to destroy the connection')
  }

  async function assertTimedOut(world, { session }) {
    assert.equal((await session.closed()).reason, 'ping timeout')
    await assertConnectionsEnd(world)
  }

  wire('ends a body that trickles', options, async (world) => {
    const client = await openPolling(world)
    const peer = await world.peer(postHead(client, { 'Content-Length': '100000' }), '4')
    const trickle = setInterval(() => peer.ended ?? peer.write('x'), 10)
    try {
      await assertTimedOut(world, client)
    } finally {
      clearInterval(trickle)
    }
    assert.deepEqual(client.session.messages, [])
  })

  wire(
    'ends an answer that the client never reads',
    { ...options, maxSendBuffer: 0 },
    async (world) => {
      const client = await openPolling(world)
      const parked = (await client.park()).pause()
      client.session.socket.send('x'.repeat(30_000_000))
      await assertTimedOut(world, client)
      parked.resume()
      await parked.ending()
    },
  )

  wire(
    'counts an unread answer against maxSendBuffer',
    { maxSendBuffer: 1_000_000 },
    async (world) => {
      const client = await openPolling(world)
      const parked = (await client.park()).pause()
      const { socket } = client.session
      socket.send('x'.repeat(20_000_000))
      assert.equal(parked.ended, undefined)
      socket.send('one more')
      await assertTransportError(client, /maxSendBuffer/, 'ERR_UPWIRE_SLOW_CONSUMER')
      await assertConnectionsEnd(world)
    },
  )

  wire(
    'does not count a read answer against maxSendBuffer',
    { maxSendBuffer: 1000 },
    async (world) => {
      const client = await openPolling(world)
      for (let round = 0; round < 3; round++) {
        for (const size of [10, 2000, 100_000]) {
          const answer = client.poll()
          client.session.socket.send('x'.repeat(size))
          assert.equal((await answer).length, size + 1)
        }
      }
    },
  )
})
