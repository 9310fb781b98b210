// Requests of sessions that wait for a middleware: they do not count as handshakes and have a bound
// of their own (docs/protocol.md#limits).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { until } from '../support/events.mjs'
import { openPolling, openWebSocket } from '../support/engine-clients.mjs'
import { readText, text } from '../support/frames.mjs'
import { POLLING, get, post, request, response } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

/** Lets the requests for which `isHeld` is true wait; returns functions that let each continue. */
function hold(world, isHeld) {
  const waiting = []
  world.engine.use((req, _res, next) => (isHeld(req) ? waiting.push(next) : next()))
  return waiting
}

const withMiddleware = { cors: { origin: '*' } }

describe('maxPendingHandshakes', () => {
  wire(
    'does not keep a live session from moving to WebSocket while handshakes are refused',
    { ...withMiddleware, maxPendingHandshakes: 1 },
    async (world) => {
      world.goodQuery = { good: 1 }
      const client = await openPolling(world)
      const waiting = hold(world, ({ _query: query }) => !query.sid && !query.good)
      const held = await world.peer(get(POLLING))
      await until(() => waiting.length === 1, 'a waiting handshake')
      assert.equal((await response(await world.peer(get(POLLING)))).status, 503)
      await client.prove()
      const probe = await client.probe()
      probe.write(text('2probe'))
      assert.equal(await readText(probe), '3probe')
      assert.equal(world.engine.stats().pendingHandshakes, 1)
      waiting[0]()
      assert.equal((await response(held)).status, 200)
    },
  )

  wire(
    'is not used up by waiting requests of sessions',
    { ...withMiddleware, maxPendingHandshakes: 1 },
    async (world) => {
      const client = await openPolling(world)
      const waiting = hold(world, ({ _query: query }) => query.sid === client.sid)
      await client.get()
      await client.post('4x')
      await until(() => waiting.length === 2, 'both requests to wait')
      assert.equal(world.engine.stats().pendingHandshakes, 0)
      await openWebSocket(world)
      for (const next of waiting) next()
      assert.deepEqual(await client.session.received(1), ['x'])
    },
  )

  wire(
    'counts a request with an unknown session id as a handshake',
    { ...withMiddleware, maxPendingHandshakes: 1 },
    async (world) => {
      const waiting = hold(world, ({ _query: query }) => query.sid === 'unknown')
      await world.peer(get(`${POLLING}&sid=unknown`))
      await until(() => waiting.length === 1, 'the first request to wait')
      assert.equal((await response(await world.peer(get(`${POLLING}&sid=unknown`)))).status, 503)
      waiting[0]()
    },
  )
})

describe('waiting requests of one session', () => {
  const kinds = {
    'a GET': (client) => get(client.target),
    'a POST': (client) => post(client.target, '4x'),
    'a preflight': (client) => request(`OPTIONS ${client.target}`),
    'an upgrade': (client) => client.upgradeRequest(),
  }
  for (const [kind, ask] of Object.entries(kinds)) {
    wire(`are at most two when they overlap (${kind}); more get 400`, {}, async (world) => {
      const client = await openPolling(world)
      const waiting = hold(world, ({ _query: query }) => query.sid === client.sid)
      const held = [await world.peer(ask(client)), await world.peer(ask(client))]
      await until(() => waiting.length === 2, 'two waiting requests')
      for (let count = 0; count < 20; count++) {
        const answer = await response(await world.peer(ask(client)))
        assert.equal(answer.status, 400)
        assert.equal(answer.headers.connection, 'close')
        assert.deepEqual(await world.refusal(), {
          code: 3,
          message: 'Bad request',
          context: { name: 'OVERLAP', sid: client.sid },
        })
      }
      assert.equal(waiting.length, 2)
      assert.equal(client.session.socket.readyState, 'open')
      // One that leaves makes room for another.
      held[0].reset()
      const asks = async () => {
        await world.peer(ask(client))
        return waiting.length === 3
      }
      await until(asks, 'room for another')
    })
  }

  wire('end the session when the app lets two overlapping GETs pass', {}, async (world) => {
    const client = await openPolling(world)
    const waiting = hold(world, ({ _query: query }) => query.sid === client.sid)
    await client.get()
    const second = await client.get()
    await until(() => waiting.length === 2, 'two waiting requests')
    for (const next of waiting) next()
    assert.equal((await client.session.closed()).description.code, 'ERR_UPWIRE_OVERLAP')
    assert.equal((await response(second)).status, 400)
  })

  wire('end with the session', {}, async (world) => {
    const client = await openPolling(world)
    const waiting = hold(world, ({ _query: query }) => query.sid === client.sid)
    const peers = [await client.get(), await world.peer(client.upgradeRequest())]
    await until(() => waiting.length === 2, 'both requests to wait')
    client.session.socket.close(true)
    for (const peer of peers) assert.equal((await response(peer)).status, 400)
    assert.equal((await world.refusal()).code, 1)
  })
})
