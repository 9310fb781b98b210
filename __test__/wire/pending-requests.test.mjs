// Requests of sessions that wait for a middleware: no handshakes, and with a bound of their own.

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { until } from '../clients/support/events.mjs'
import { openPolling, openWebSocket } from './support/client.mjs'
import { readText, text } from './support/frames.mjs'
import { POLLING, get, post, request, response } from './support/http.mjs'
import { wire } from './support/world.mjs'

/** Has the requests wait that `isHeld` names; gives what lets each of them go on. */
function hold(world, isHeld) {
  const waiting = []
  world.engine.use((req, _res, next) => (isHeld(req) ? waiting.push(next) : next()))
  return waiting
}

const withMiddleware = { cors: { origin: '*' } }

describe('maxPendingHandshakes', () => {
  wire(
    'a living session goes on and moves to WebSocket while handshakes are refused',
    { ...withMiddleware, maxPendingHandshakes: 1 },
    async (world) => {
      world.goodQuery = { good: 1 }
      const client = await openPolling(world)
      const waiting = hold(world, ({ _query: query }) => !query.sid && !query.good)
      const held = await world.peer(get(POLLING))
      await until(() => waiting.length === 1, 'a handshake to wait')
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
    'requests of sessions that wait leave room for handshakes',
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
    'a request with an id of no session is a handshake',
    { ...withMiddleware, maxPendingHandshakes: 1 },
    async (world) => {
      const waiting = hold(world, ({ _query: query }) => query.sid === 'unknown')
      await world.peer(get(`${POLLING}&sid=unknown`))
      await until(() => waiting.length === 1, 'the first to wait')
      assert.equal((await response(await world.peer(get(`${POLLING}&sid=unknown`)))).status, 503)
      waiting[0]()
    },
  )
})

describe('of one session', () => {
  const kinds = {
    'a GET': (client) => get(client.target),
    'a POST': (client) => post(client.target, '4x'),
    'a preflight': (client) => request(`OPTIONS ${client.target}`),
    'an upgrade': (client) => client.upgradeRequest(),
  }
  for (const [kind, ask] of Object.entries(kinds)) {
    wire(`two that overlap wait, ${kind}; more get 400`, {}, async (world) => {
      const client = await openPolling(world)
      const waiting = hold(world, ({ _query: query }) => query.sid === client.sid)
      const held = [await world.peer(ask(client)), await world.peer(ask(client))]
      await until(() => waiting.length === 2, 'two to wait')
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
      // One that leaves makes room for one.
      held[0].reset()
      const asks = async () => {
        await world.peer(ask(client))
        return waiting.length === 3
      }
      await until(asks, 'room for another')
    })
  }

  wire('two GETs that the app lets pass end the session, as ever', {}, async (world) => {
    const client = await openPolling(world)
    const waiting = hold(world, ({ _query: query }) => query.sid === client.sid)
    await client.get()
    const second = await client.get()
    await until(() => waiting.length === 2, 'two to wait')
    for (const next of waiting) next()
    assert.equal((await client.session.closed()).description.code, 'ERR_UPWIRE_OVERLAP')
    assert.equal((await response(second)).status, 400)
  })

  wire('they wait no longer than the session lives', {}, async (world) => {
    const client = await openPolling(world)
    const waiting = hold(world, ({ _query: query }) => query.sid === client.sid)
    const peers = [await client.get(), await world.peer(client.upgradeRequest())]
    await until(() => waiting.length === 2, 'both to wait')
    client.session.socket.close(true)
    for (const peer of peers) assert.equal((await response(peer)).status, 400)
    assert.equal((await world.refusal()).code, 1)
  })
})
