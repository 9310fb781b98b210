// What a message must satisfy before JavaScript sees it: the depth of its JSON, and the number of
// messages per second (docs/protocol.md#limits).

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import { attach, Engine } from 'upwire'
import { until } from '../support/events.mjs'
import { App } from '../support/app.mjs'
import { openPolling, openWebSocket, opened } from '../support/engine-clients.mjs'
import { OP, frame, readClose, readEnd, readText, text } from '../support/frames.mjs'
import { KEY, request, response } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'
import { wire } from '../support/world.mjs'

/** A Socket.IO event whose JSON has this depth; the event's own array is one level. */
const event = (depth, header = '2') =>
  `4${header}["echo",${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}]`

/** The two ways to send a message and to see the resulting end. */
const senders = {
  async polling(world) {
    const client = await openPolling(world)
    const { session, sid } = client
    return { session, sid, wsCode: undefined, send: (packets) => client.send(packets.join('\x1e')) }
  },
  async websocket(world) {
    const { peer, session, sid } = await openWebSocket(world)
    return {
      session,
      sid,
      peer,
      send: (packets) => void peer.write(...packets.map((it) => text(it))),
    }
  },
}

async function assertLimit(world, { name, limit, sid }) {
  await until(() => world.limits.length > 0, 'the limit event')
  const value = limit
  const remoteAddress = '127.0.0.1'
  assert.deepEqual(world.limits, [{ name, limit, value, action: 'closed', sid, remoteAddress }])
  assert.equal(world.engine.stats().limits[`${name} closed`], 1)
}

describe('maxDepth', () => {
  for (const [transport, open] of Object.entries(senders)) {
    wire(
      `accepts messages below and at the bound and closes at one above: ${transport}`,
      { maxDepth: 5 },
      async (world) => {
        const { session, sid, peer, send } = await open(world)
        await send([event(4), event(5)])
        assert.deepEqual(await session.received(2), [event(4).slice(1), event(5).slice(1)])
        await send([event(6), event(1)])
        const { reason, description } = await session.closed()
        assert.equal(reason, 'parse error')
        const { code, limit, value } = description
        assert.deepEqual([code, limit, value], ['ERR_UPWIRE_MAX_DEPTH', 'maxDepth', 5])
        assert.equal(session.messages.length, 2, 'JavaScript has seen none of the rest')
        await assertLimit(world, { name: 'maxDepth', limit: 5, sid })
        if (peer === undefined) return
        assert.equal(
          await readClose(peer),
          undefined,
          'a close frame without a code, as for any parse error',
        )
        peer.write(frame(OP.CLOSE))
        await readEnd(peer)
      },
    )
  }

  wire(
    'ignores brackets in strings and counts those behind a namespace',
    { maxDepth: 5 },
    async (world) => {
      const strings = `42["echo","${'['.repeat(50)}","\\"${'{'.repeat(50)}"]`
      const { session, send } = await senders.websocket(world)
      await send([strings, event(5, '2/"chat,12')])
      await session.received(2)
      await send([event(6, '2/"chat,12')])
      assert.equal((await session.closed()).description.code, 'ERR_UPWIRE_MAX_DEPTH')
    },
  )

  wire('does not apply to binary messages', { maxDepth: 5 }, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.write(frame(OP.BINARY, '['.repeat(100)))
    await session.received(1)
  })

  wire('does not apply to an engine without Socket.IO', {}, async (world) => {
    const { session, send } = await senders.websocket(world)
    await send([event(20_000)])
    await session.received(1)
  })

  test('is 1,000 by default with attach(), unless the app brings its own parser', () => {
    const depth = (options) => attach(createServer(), options).engine.opts.maxDepth
    assert.equal(depth({}), 1000)
    assert.equal(depth({ maxDepth: 0 }), 0)
    assert.equal(depth({ maxDepth: 7 }), 7)
    class Encoder {}
    class Decoder {}
    assert.equal(depth({ parser: { Encoder, Decoder } }), 0)
    assert.equal(depth({ parser: { Encoder, Decoder }, maxDepth: 7 }), 7)
    assert.equal(new Engine().opts.maxDepth, 0)
  })

  /** An app that echoes what it receives, as many do. */
  async function echo(options) {
    const server = createServer()
    const io = attach(server, options)
    io.on('connection', (socket) => {
      socket.on('echo', (data) => socket.emit('echo', data))
      socket.on('disconnect', (reason) => tell('disconnect', reason))
    })
    tell('port', await listen(server))
  }

  const target = '/socket.io/?EIO=4&transport=websocket'
  const headers = {
    Host: '127.0.0.1',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
  }

  async function join(t, port) {
    const peer = await Peer.connect(port)
    t.after(() => peer.destroy())
    peer.write(request(`GET ${target}`, headers))
    await opened(peer)
    peer.write(text('40'))
    await readText(peer)
    return peer
  }

  test('ends no process whose handler echoes 20,000 nested arrays', {
    timeout: 30_000,
  }, async (t) => {
    const app = await App.start(t, echo)
    const [good, bad] = [await join(t, app.port), await join(t, app.port)]
    for (const depth of [999, 1000]) {
      good.write(text(event(depth)))
      assert.equal(await readText(good), event(depth))
    }
    for (const depth of [20_000, 1001]) {
      const peer = depth === 1001 ? good : bad
      peer.write(text(event(depth)))
      await readClose(peer)
      peer.write(frame(OP.CLOSE))
      await readEnd(peer)
    }
    assert.equal(await app.report('disconnect', 2), 'parse error')
    assert.equal(app.hasEnded, false, app.output)
    const last = await join(t, app.port)
    last.write(text('42["echo",1]'))
    assert.equal(await readText(last), '42["echo",1]')
  })
})

describe('maxMessageRate', () => {
  const messages = (count) => Array.from({ length: count }, (_, index) => `4${index}`)

  for (const [transport, open] of Object.entries(senders)) {
    wire(
      `accepts twice the rate at once and closes at one more: ${transport}`,
      { maxMessageRate: 10 },
      async (world) => {
        const { session, sid, peer, send } = await open(world)
        await send(messages(20))
        await session.received(20)
        assert.deepEqual(session.closes, [])
        // However slow the machine is, it does not earn a hundred tokens meanwhile.
        await send(messages(100))
        const { reason, description } = await session.closed()
        assert.equal(reason, 'transport error')
        const { code, limit, value, wsCode, type } = description
        assert.deepEqual(
          [code, limit, value, wsCode, type],
          [
            'ERR_UPWIRE_MESSAGE_RATE',
            'maxMessageRate',
            10,
            peer === undefined ? undefined : 1008,
            'TransportError',
          ],
        )
        assert.ok(session.messages.length < 120)
        await assertLimit(world, { name: 'maxMessageRate', limit: 10, sid })
        if (peer === undefined) return
        assert.equal(await readClose(peer), 1008)
        await readEnd(peer)
      },
    )
  }

  wire(
    'counts the messages of all packets, but not heartbeats',
    { maxMessageRate: 1 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.write(
        ...Array.from({ length: 100 }, () => [text('3'), text('6'), frame(OP.PING, '')]).flat(),
      )
      peer.write(text('4a'), frame(OP.BINARY, 'b'))
      await session.received(2)
      peer.write(...Array(10).fill(text('4c')))
      await session.closed()
    },
  )

  wire(
    'answers the parked GET of a polling session with its close packet',
    { maxMessageRate: 1 },
    async (world) => {
      const client = await openPolling(world)
      const peer = await client.park()
      await client.send(messages(50).join('\x1e'))
      assert.equal((await response(peer)).text, '1')
      assert.equal((await client.session.closed()).description.code, 'ERR_UPWIRE_MESSAGE_RATE')
    },
  )

  wire('recovers with time', { maxMessageRate: 50 }, async (world) => {
    const { session, send } = await senders.websocket(world)
    for (let round = 1; round <= 5; round++) {
      await send(messages(20))
      await session.received(20 * round)
      // The passing of time is what this tests: after 400 ms, 20 more messages are allowed.
      await new Promise((resolve) => setTimeout(resolve, 420))
    }
    assert.deepEqual(session.closes, [])
  })

  wire('is unlimited with 0, the default', {}, async (world) => {
    const { session, send } = await senders.websocket(world)
    await send(messages(10_000))
    await session.received(10_000)
    assert.equal(world.engine.opts.maxMessageRate, 0)
  })
})
