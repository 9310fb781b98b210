// engine.drain(): the sessions of a server that shuts down leave gradually
// (docs/protocol.md#shutdown).

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import { attach, Engine } from 'upwire'
import { connect } from '../support/clients.mjs'
import { event, until, within } from '../support/events.mjs'
import { listen, pages, shut } from '../support/servers.mjs'
import { openPolling, openWebSocket, opened } from '../support/engine-clients.mjs'
import { OP, frame, readClose, readText, text } from '../support/frames.mjs'
import { POLLING, get, response, upgrade } from '../support/requests.mjs'
import { World } from '../support/world.mjs'

/** A test with a server of its own; a drained one accepts no good client at the end. */
function drains(name, options, body) {
  test(name, { timeout: 30_000 }, async () => {
    const world = await World.start(options)
    try {
      await body(world)
      await world.proveClean()
    } finally {
      await world.close()
    }
  })
}

describe('engine.drain()', () => {
  drains(
    'lets 200 clients leave gradually, with 1001, and then closes the engine',
    {},
    async (world) => {
      const clients = await Promise.all(Array.from({ length: 200 }, () => world.peer(upgrade())))
      await Promise.all(clients.map((peer) => opened(peer)))
      const started = performance.now()
      const drained = world.engine.drain({ deadline: 10_000, rate: 200 })
      const ends = await Promise.all(
        clients.map(async (peer) => {
          assert.equal(await readClose(peer), 1001)
          const at = performance.now() - started
          peer.write(frame(OP.CLOSE))
          return at
        }),
      )
      assert.deepEqual(await within(drained, 'the drain'), { closed: 200, left: 0, forced: 0 })
      const whole = performance.now() - started
      assert.ok(whole >= 950 && whole < 5000, `${whole} ms for a second's work`)
      ends.sort((a, b) => a - b)
      // Never more than the rate allows, and no gaps that a burst would have to make up for.
      for (const [index, at] of ends.entries()) {
        assert.ok(at >= (index / 200) * 1000 - 5, `client ${index} at ${at} ms`)
      }
      assert.ok(ends[100] < ends[199] - 200, 'half of them left long before the last')
      const reasons = world.sessions.map(({ closes: [{ reason }] }) => reason)
      assert.deepEqual(new Set(reasons), new Set(['forced close']))
      const late = await response(await world.peer(get(POLLING)))
      assert.deepEqual([late.status, late.json.message], [503, 'Server is shutting down'])
    },
  )

  drains(
    'answers handshakes with 503 before code of the app runs, while sessions live on',
    {},
    async (world) => {
      const client = await openPolling(world)
      const { peer, session } = await openWebSocket(world)
      // The newest session is the first to leave.
      await openWebSocket(world)
      const calls = []
      const waiting = []
      world.engine.opts.allowRequest = (_req, done) => waiting.push(done)
      const pending = await world.peer(get(POLLING))
      await until(() => waiting.length === 1, 'a waiting handshake')
      // So slowly that only the first session leaves meanwhile.
      const drained = world.engine.drain({ deadline: 600_000 })
      assert.equal((await response(pending)).status, 503)
      world.engine.use((_req, _res, next) => {
        calls.push('middleware')
        next()
      })
      for (const bytes of [get(POLLING), upgrade()]) {
        const { status, headers } = await response(await world.peer(bytes))
        assert.equal(status, 503)
        assert.match(headers['retry-after'], /^[1-5]$/)
      }
      assert.deepEqual(calls, [])
      assert.deepEqual(
        world.refusals.map(({ context }) => context.name),
        ['DRAINING', 'DRAINING', 'DRAINING'],
      )
      await client.prove()
      peer.write(text('4hello'))
      await session.received(1)
      world.engine.close()
      const { forced, closed, left } = await within(drained, 'the drain')
      assert.deepEqual([forced + closed, left], [3, 0])
    },
  )

  drains('sends queued messages first, on both transports', {}, async (world) => {
    const client = await openPolling(world)
    const { peer, session } = await openWebSocket(world)
    const drained = world.engine.drain({ deadline: 10_000, rate: 1000 })
    session.socket.send('x'.repeat(5_000_000))
    client.session.socket.send('last')
    assert.equal((await readText(peer)).length, 5_000_001)
    assert.equal(await readClose(peer), 1001)
    assert.equal(await client.poll(), '4last')
    assert.match(await client.poll(), /^(6\x1e)?1$/)
    assert.deepEqual(await within(drained, 'the drain'), { closed: 2, left: 0, forced: 0 })
  })

  drains('ends the remaining sessions at the deadline', {}, async (world) => {
    const peers = []
    for (let count = 0; count < 5; count++) peers.push((await openWebSocket(world)).peer)
    const started = performance.now()
    const drained = world.engine.drain({ deadline: 300, rate: 1 })
    // The newest session leaves first.
    peers.shift().destroy()
    assert.deepEqual(await within(drained, 'the drain'), { closed: 1, left: 1, forced: 3 })
    const whole = performance.now() - started
    assert.ok(whole >= 295 && whole < 3000, `${whole} ms`)
    for (const peer of peers) assert.equal(await readClose(peer), 1001)
  })

  drains('lets them leave evenly before the deadline without a rate', {}, async (world) => {
    for (let count = 0; count < 4; count++) await openWebSocket(world)
    const drained = world.engine.drain({ deadline: 400 })
    assert.deepEqual(await within(drained, 'the drain'), { closed: 4, left: 0, forced: 0 })
  })

  drains(
    'runs once when called twice, ends with close(), and resolves at once without sessions',
    {},
    async (world) => {
      await openWebSocket(world)
      const drained = world.engine.drain({ deadline: 60_000, rate: 1 })
      assert.equal(world.engine.drain(), drained)
      assert.equal(world.engine.drain({ deadline: 1 }), drained)
      world.engine.close()
      assert.deepEqual(await within(drained, 'the drain'), { closed: 0, left: 0, forced: 1 })
      assert.equal(world.engine.drain(), drained)
      for (const engine of [new Engine(), new Engine().close()]) {
        assert.deepEqual(await engine.drain(), { closed: 0, left: 0, forced: 0 })
      }
    },
  )

  test('ends with server.close(), and works again after the engine listens again', async () => {
    const engine = new Engine()
    const server = createServer()
    engine.attach(server)
    for (let round = 0; round < 2; round++) {
      const port = await listen(server)
      const answer = await fetch(`http://127.0.0.1:${port}${POLLING}`)
      assert.equal(answer.status, 200)
      const drained = engine.drain({ deadline: 60_000, rate: 1 })
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await within(closed, 'the server to close')
      assert.equal((await within(drained, 'the drain')).forced, 1)
    }
  })

  test('throws typed errors that name the wrong option', () => {
    const wrong = [
      ...['5', NaN, -1, 1.5, null, 2 ** 31].map((value) => ['deadline', value]),
      ...['5', NaN, -1, 0, 1.5, null, 1e9].map((value) => ['rate', value]),
    ]
    const engine = new Engine()
    for (const [name, value] of wrong) {
      assert.throws(
        () => engine.drain({ [name]: value }),
        (error) => {
          assert.equal(error.code, 'ERR_UPWIRE_INVALID_OPTION')
          assert.ok(error.message.includes(name) && error.message.includes(String(value)))
          return true
        },
      )
    }
    for (const value of [null, 5, 'x']) {
      assert.throws(() => engine.drain(value), { code: 'ERR_UPWIRE_INVALID_OPTION' })
    }
    assert.equal(engine.debugState().state, 'open', 'no drain has begun')
  })

  test('lets Socket.IO clients reconnect to the next server by themselves', {
    timeout: 30_000,
  }, async (t) => {
    const [first, second] = [pages(), pages()]
    const io = attach(first)
    const other = attach(second)
    const port = await listen(first)
    t.after(() => Promise.all([shut(first), shut(second)]))
    const client = await connect(t, `http://127.0.0.1:${port}`, {
      reconnection: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 50,
      transports: ['websocket'],
    })
    const gone = event(client, 'disconnect')
    assert.deepEqual(await io.engine.drain(), { closed: 1, left: 0, forced: 0 })
    assert.equal((await gone)[0], 'transport close')
    await new Promise((resolve) => io.close(resolve))
    const back = event(client, 'connect')
    await listen(second, port)
    await back
    assert.equal(other.engine.clientsCount, 1)
  })
})
