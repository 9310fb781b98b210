// The steps of a handshake: clients that leave meanwhile, middlewares, and a server that accepts no
// handshakes (docs/protocol.md#handshake-and-http).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { deferred, until } from '../support/events.mjs'
import { POLLING, get, response, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'
import { assertUpgradeRefused, assertRefused } from '../support/refusals.mjs'

describe('a client that leaves during a step of its handshake', () => {
  /** Options whose step waits for the test, except for the good client. */
  function held(step) {
    const gate = deferred()
    const entered = deferred()
    const wait = (req, done) => {
      if (req._query.good !== undefined) return done()
      entered.resolve()
      gate.promise.then(done)
    }
    const options = {}
    if (step === 'allowRequest')
      options.allowRequest = (req, done) => wait(req, () => done(null, true))
    const prepare = ({ engine }) => {
      if (step === 'middleware') engine.use((req, _res, next) => wait(req, () => next()))
      if (step !== 'generateId') return
      const { generateId } = engine
      engine.generateId = (req) =>
        new Promise((resolve) => wait(req, () => resolve(generateId.call(engine, req))))
    }
    return { options, prepare, gate, entered }
  }

  for (const step of ['middleware', 'allowRequest', 'generateId']) {
    for (const [transport, bytes] of [
      ['polling', get(POLLING)],
      ['websocket', upgrade()],
    ]) {
      for (const leave of ['reset', 'finish', 'destroy']) {
        const { options, prepare, gate, entered } = held(step)
        wire(
          `leaves no session and has its answer ignored: ${transport}, ${leave} during ${step}`,
          options,
          async (world) => {
            world.goodQuery = { good: 1 }
            prepare(world)
            const peer = await world.peer(bytes)
            await entered.promise
            peer[leave]()
            // After `finish` the peer still reads and sees the end; the other ways only the server
            // sees.
            if (leave === 'finish')
              assert.doesNotMatch((await peer.rest()).toString(), /^HTTP\/1\.1 (101|200)/)
            else
              await until(
                () => connections(world).then((count) => count === 0),
                'the server to see it',
              )
            gate.resolve()
            await world.proveGood()
            assert.equal(world.sessions.length, 1, 'only the good client has a session')
          },
        )
      }
    }
  }

  function connections({ server }) {
    return new Promise((resolve, reject) => {
      server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
    })
  }

  for (const [name, bytes] of [
    ['polling', get(POLLING)],
    ['websocket', upgrade()],
    ['a page', get('/')],
    ['half an upgrade', upgrade().subarray(0, 80)],
  ]) {
    wire(`does no harm with 50 resets right behind the request: ${name}`, {}, async (world) => {
      for (let round = 0; round < 50; round++) {
        const peer = await world.peer(bytes)
        await peer.flushed()
        peer.reset()
      }
    })
  }
})

describe('middlewares', () => {
  const failures = {
    'calls next(err)': (_req, _res, next, error) => next(error),
    throws: (_req, _res, _next, error) => {
      throw error
    },
    rejects: async (_req, _res, _next, error) => {
      throw error
    },
  }
  for (const [name, fail] of Object.entries(failures)) {
    const use = (world, error) => {
      world.goodQuery = { good: 1 }
      world.engine.use((req, res, next) => {
        if (req._query.good === undefined) return fail(req, res, next, error)
        next()
      })
    }
    wire(`refuse with 400, code 3, MIDDLEWARE_FAILURE when one ${name}`, {}, async (world) => {
      const error = new Error('secret of the app')
      use(world, error)
      await assertRefused(await world.peer(get(POLLING)), 400, 3, 'Bad request')
      assert.deepEqual(await world.refusal(), {
        code: 3,
        message: 'Bad request',
        context: { name: 'MIDDLEWARE_FAILURE', error },
      })
      await assertUpgradeRefused(await world.peer(upgrade()), 400, 'Bad request')
      assert.equal((await world.refusal()).context.error, error)
    })
  }

  wire('end an answer that one began before it failed', {}, async (world) => {
    world.goodQuery = { good: 1 }
    world.engine.use((req, res, next) => {
      if (req._query.good !== undefined) return next()
      res.write('begun')
      next(new Error('too late'))
    })
    const answer = await response(await world.peer(get(POLLING)))
    assert.deepEqual([answer.status, answer.text], [200, 'begun'])
    assert.equal((await world.refusal()).context.name, 'MIDDLEWARE_FAILURE')
    assert.equal(world.sessions.length, 0)
  })
})

describe('a server that accepts no handshakes', () => {
  const busy = { maxPendingHandshakes: 1 }
  const hold = (world) => {
    const entered = deferred()
    world.engine.opts.allowRequest = (_req, done) => entered.resolve(() => done(null, true))
    return entered.promise
  }

  function assertBusy(answer) {
    assert.equal(answer.status, 503)
    assert.match(answer.headers['retry-after'], /^[1-5]$/)
  }

  wire(
    'answers too many handshakes with 503, Retry-After, TOO_MANY_HANDSHAKES',
    busy,
    async (world) => {
      const entered = hold(world)
      const first = await world.peer(get(POLLING))
      const release = await entered
      const polling = await assertRefused(
        await world.peer(get(POLLING)),
        503,
        4,
        'Too many connections',
      )
      assertBusy(polling)
      assertBusy(
        await assertUpgradeRefused(await world.peer(upgrade()), 503, 'Too many connections'),
      )
      for (const refusal of [await world.refusal(), await world.refusal()]) {
        assert.deepEqual([refusal.code, refusal.context.name], [4, 'TOO_MANY_HANDSHAKES'])
      }
      release()
      assert.equal((await response(first)).status, 200)
      world.engine.opts.allowRequest = undefined
    },
  )

  wire(
    'answers handshakes of a closed engine with 503, Retry-After, DRAINING',
    {},
    async (world) => {
      world.engine.close()
      const message = 'Server is shutting down'
      assertBusy(await assertRefused(await world.peer(get(POLLING)), 503, 4, message))
      assertBusy(await assertUpgradeRefused(await world.peer(upgrade()), 503, message))
      for (const refusal of [await world.refusal(), await world.refusal()]) {
        assert.deepEqual([refusal.code, refusal.context.name], [4, 'DRAINING'])
      }
      world.proveGood = async () => {
        assert.equal((await response(await world.peer(get('/')))).text, 'page /')
      }
    },
  )
})
