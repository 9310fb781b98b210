// allowRequest, and steps of a handshake that never end (docs/protocol.md#the-apps-own-errors).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { App } from '../support/app.mjs'
import { opened } from '../support/engine-clients.mjs'
import { until } from '../support/events.mjs'
import { POLLING, get, response, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'
import { peerOf, appTest, assertServes } from '../support/failing-app.mjs'

describe('allowRequest', () => {
  const good = { good: 1 }
  const except = (allow) => (req, done) => (req._query.good ? done(null, true) : allow(req, done))
  const error = new Error('bad token')

  for (const [name, allow] of Object.entries({
    throws: () => {
      throw error
    },
    rejects: async () => {
      throw error
    },
  })) {
    wire(
      `${name}: 403 with code 4, ALLOW_REQUEST_ERROR`,
      { allowRequest: except(allow) },
      async (world) => {
        world.goodQuery = good
        const polling = await response(await world.peer(get(POLLING)))
        assert.equal(polling.status, 403)
        assert.deepEqual(polling.json, { code: 4, message: 'Forbidden' })
        const websocket = await response(await world.peer(upgrade()))
        assert.deepEqual([websocket.status, websocket.text], [403, 'Forbidden'])
        for (const { code, context } of [await world.refusal(), await world.refusal()]) {
          assert.equal(code, 4)
          assert.deepEqual(context, { name: 'ALLOW_REQUEST_ERROR', error })
        }
        assert.deepEqual(world.sessions, [])
      },
    )
  }

  appTest(
    'fails without a connection_error listener: one warning, and the process lives on',
    async (t) => {
      const app = await App.start(t, async () => {
        process.on('warning', ({ code }) => tell('warning', code))
        const server = createServer()
        const engine = new Engine({
          allowRequest: (req, done) => {
            if (req._query.good) return done(null, true)
            throw new Error('bad token')
          },
        })
        engine.attach(server)
        engine.on('connection', (socket) =>
          socket.on('data', () => {
            for (const each of ['a', 'b', 'c']) socket.send(each)
          }),
        )
        tell('port', await listen(server))
      })
      for (let round = 0; round < 5; round++) {
        assert.equal((await response(await peerOf(t, app, get(POLLING)))).status, 403)
        assert.equal((await response(await peerOf(t, app, upgrade()))).status, 403)
      }
      await assertServes(t, app)
      assert.equal(app.values('warning').length, 1)
      assert.match(app.values('warning')[0], /^UPWIRE_/)
    },
  )

  wire(
    'calls back twice: the first answer counts',
    {
      allowRequest: except((_req, done) => {
        done('first', false)
        done(null, true)
      }),
    },
    async (world) => {
      world.goodQuery = good
      assert.equal((await response(await world.peer(get(POLLING)))).status, 403)
      const peer = await world.peer(upgrade())
      await response(peer)
      await peer.rest()
      assert.deepEqual(world.sessions, [])
      assert.equal(world.refusals.length, 2)
    },
  )

  wire(
    'calls back yes, then no, then throws: a session',
    {
      allowRequest: except((_req, done) => {
        done(null, true)
        done('second', false)
        throw new Error('too late')
      }),
    },
    async (world) => {
      world.goodQuery = good
      assert.equal((await response(await world.peer(get(POLLING)))).status, 200)
      await opened(await world.peer(upgrade()))
      assert.equal(world.sessions.length, 2)
      assert.deepEqual(world.refusals, [])
    },
  )

  for (const [name, message] of Object.entries({
    'CRLF and a header': 'no\r\nSet-Cookie: a=b\r\n\r\n<html>',
    '8-bit text': 'n\u00e9 \u20ac \u{1f389} \ud800',
    '5 KB': 'x'.repeat(5000),
    'quotes and markup': '"\\</script><b>',
  })) {
    const refused = (status) => `${name} as its message: sent in the body alone, ${status}`
    wire(
      refused('JSON-escaped'),
      { allowRequest: except((_req, done) => done(message, false)) },
      async (world) => {
        world.goodQuery = good
        const answer = await response(await world.peer(get(POLLING)))
        assert.equal(answer.status, 403)
        assert.equal(answer.headers['set-cookie'], undefined)
        assert.equal(answer.text, Buffer.from(JSON.stringify({ code: 4, message })).toString())
        assert.deepEqual((await world.refusal()).context, { message })
      },
    )

    wire(
      refused('with its length in bytes'),
      { allowRequest: except((_req, done) => done(message, false)) },
      async (world) => {
        world.goodQuery = good
        const peer = await world.peer(upgrade())
        const answer = await response(peer)
        assert.equal(answer.headers['set-cookie'], undefined)
        assert.equal(answer.text, Buffer.from(message).toString())
        assert.equal((await peer.rest()).length, 0, 'nothing follows the stated length')
        assert.match(answer.line, /^HTTP\/1\.1 40[03] [A-Za-z ]+$/)
      },
    )
  }

  wire(
    'refuses an upgrade: 400 (docs/protocol.md#error-answers)',
    { allowRequest: except((_req, done) => done('no', false)) },
    async (world) => {
      world.goodQuery = good
      const answer = await response(await world.peer(upgrade()))
      assert.deepEqual([answer.status, answer.text], [400, 'no'])
    },
  )

  for (const value of [undefined, null, 0, '', {}, new Error('object')]) {
    wire(
      `refuses with ${value}: the body is a text`,
      { allowRequest: except((_req, done) => done(value, false)) },
      async (world) => {
        world.goodQuery = good
        const { status, json } = await response(await world.peer(get(POLLING)))
        assert.equal(status, 403)
        assert.equal(typeof json.message, 'string')
        assert.equal((await response(await world.peer(upgrade()))).headers.connection, 'close')
      },
    )
  }
})

describe('a step that never ends gets 503 at handshakeTimeout', () => {
  const steps = {
    allowRequest: { options: { allowRequest: (req, done) => req._query.good && done(null, true) } },
    middleware: { use: (req, _res, next) => req._query.good && next() },
    generateId: { never: true },
  }
  for (const [name, { options, use, never }] of Object.entries(steps)) {
    const prepare = ({ engine }) => {
      if (use) engine.use(use)
      if (!never) return
      const { generateId } = engine
      engine.generateId = (req) =>
        req._query.good ? generateId.call(engine) : new Promise(() => {})
    }

    wire(`${name}`, { ...options, handshakeTimeout: 150 }, async (world) => {
      world.goodQuery = { good: 1 }
      prepare(world)
      const started = performance.now()
      const peers = [await world.peer(get(POLLING)), await world.peer(upgrade())]
      for (const peer of peers) {
        const answer = await response(peer)
        assert.equal(answer.status, 503)
        assert.match(answer.headers['retry-after'], /^[1-5]$/)
      }
      assert.ok(performance.now() - started > 100, 'not before handshakeTimeout')
      assert.equal((await peers[1].rest()).length, 0)
      assert.equal(world.refusals.length, 2)
      assert.deepEqual(world.sessions, [])
    })

    wire(
      `${name}: releases its place at once when the client leaves`,
      { ...options, maxPendingHandshakes: 2 },
      async (world) => {
        world.goodQuery = { good: 1 }
        prepare(world)
        const peers = [await world.peer(get(POLLING)), await world.peer(upgrade())]
        const busy = async () => (await response(await world.peer(get(POLLING)))).status === 503
        await until(
          async () => world.refusals.length > 0 || (await busy()),
          'both places to be taken',
        )
        for (const peer of peers) peer.reset()
        // handshakeTimeout is 20 s, so only the clients' leaving can free the places in time.
        await until(async () => {
          const peer = await world.peer(get(`${POLLING}&good=1`))
          return (await response(peer)).status === 200
        }, 'a free place')
      },
    )
  }
})
