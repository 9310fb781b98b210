// cors.origin as the default for allowedOrigins (docs/protocol.md#origin).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { openPolling } from '../support/engine-clients.mjs'
import { POLLING, WEBSOCKET, request, response } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'
import {
  HOST,
  OWN,
  EVIL,
  KINDS,
  POLL,
  WS,
  upgrade,
  ask,
  assertTaken,
  assertRefused,
} from '../support/origin-requests.mjs'

const FAILURE = new Error('no such tenant')

describe('cors.origin is the default for allowedOrigins', () => {
  const site = 'https://site.example'
  const forms = {
    'a string': { origin: site },
    'a string with a slash': { origin: `${site}/` },
    'an expression': { origin: /^https:\/\/site\.example$/ },
    'an array': { origin: ['http://other.example', undefined, /^https:\/\/site\./] },
    'a nested array': { origin: [[site]] },
    'a function that gives true or false': {
      origin: (origin, done) => done(null, origin === site),
    },
    'a function that returns an origin': { origin: (_origin, done) => done(null, site) },
    'a function that returns an array later': {
      origin: (_origin, done) => setImmediate(done, null, [site, /^never$/]),
    },
    'a function in place of the options': (_req, done) => done(null, { origin: site }),
    'a function in place of the options, with an origin function': (_req, done) =>
      done(null, { origin: (_origin, decide) => decide(null, [site]) }),
  }
  for (const [name, cors] of Object.entries(forms)) {
    wire(name, { cors }, async (world) => {
      for (const kind of Object.values(KINDS)) {
        await assertTaken(world, kind, { Origin: site })
        await assertTaken(world, kind, { Origin: OWN })
        await assertTaken(world, kind, {})
      }
      for (const kind of [POLL, WS]) {
        await assertRefused(world, kind, { Origin: EVIL })
        await assertRefused(world, kind, { Origin: [site, site] })
      }
    })
  }

  const open = {
    true: true,
    'no origin': {},
    'origin: true': { origin: true },
    "origin: '*'": { origin: '*' },
    'a function without an origin': (_req, done) => done(null, {}),
    "a function that returns '*'": { origin: (_origin, done) => done(null, '*') },
  }
  for (const [name, cors] of Object.entries(open)) {
    wire(`accepts any origin: ${name}`, { cors }, async (world) => {
      for (const kind of Object.values(KINDS)) await assertTaken(world, kind, { Origin: EVIL })
    })
  }

  for (const origin of [false, undefined, null, '', [], ['*'], [['*']]]) {
    wire(
      `accepts no foreign origin: ${JSON.stringify(origin)}`,
      { cors: { origin } },
      async (world) => {
        for (const kind of [POLL, WS]) {
          await assertRefused(world, kind, { Origin: EVIL })
          await assertTaken(world, kind, { Origin: OWN })
        }
      },
    )
  }

  const both = { cors: { origin: EVIL }, allowedOrigins: [site] }
  wire('is overridden by allowedOrigins; cors then only sets headers', both, async (world) => {
    await assertRefused(world, WS, { Origin: EVIL })
    const peer = await world.peer(POLL.ask({ Host: HOST, Origin: site }))
    const answer = await response(peer)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['access-control-allow-origin'], EVIL)
  })

  // A page that CORS has admitted can set headers of its own.
  const claimed = { Origin: EVIL, 'X-Forwarded-Host': 'evil.example' }
  for (const cors of [{ origin: '*' }, { origin: true, credentials: true }]) {
    const strict = { cors, allowedOrigins: [] }
    wire(
      `ignores X-Forwarded-Host where CORS admits pages: ${cors.origin}`,
      strict,
      async (world) => {
        await assertRefused(world, POLL, claimed)
        await assertTaken(world, WS, claimed)
        await assertTaken(world, POLL, { Origin: OWN })
      },
    )
  }

  wire('ignores X-Forwarded-Host where a middleware sets CORS headers', {}, async (world) => {
    await assertTaken(world, POLL, claimed)
    world.engine.use((_req, res, next) => {
      res.setHeader('Access-Control-Allow-Origin', '*')
      next()
    })
    await assertRefused(world, POLL, claimed)
  })

  wire(
    'trusts X-Forwarded-Host where CORS admits no pages',
    { cors: { origin: site } },
    async (world) => {
      for (const kind of Object.values(KINDS)) await assertTaken(world, kind, claimed)
    },
  )

  const none = { cors: { origin: '*' }, allowedOrigins: [] }
  wire('allows only this server with an empty list', none, async (world) => {
    await assertRefused(world, WS, { Origin: EVIL })
    await assertTaken(world, WS, { Origin: OWN })
  })

  const seen = []
  const once = {
    cors: (req, done) => {
      seen.push(['options', req.headers.origin])
      done(null, {
        origin: (origin, decide) => {
          seen.push(['origin', origin])
          decide(null, true)
        },
      })
    },
  }
  wire('calls functions once per request', once, async (world) => {
    await assertTaken(world, WS, { Origin: EVIL })
    assert.deepEqual(seen, [
      ['options', EVIL],
      ['origin', EVIL],
    ])
  })

  // As the README of cors shows it for origins that are not on a list.
  const failing = {
    cors: { origin: (origin, done) => (origin === site ? done(null, true) : done(FAILURE)) },
  }
  wire('takes an error from a function as a refusal', failing, async (world) => {
    for (const kind of Object.values(KINDS)) {
      await assertRefused(world, kind, { Origin: EVIL }, { error: FAILURE })
      for (const headers of [{ Origin: site }, { Origin: OWN }, {}]) {
        await assertTaken(world, kind, headers)
      }
    }
  })

  const broken = { cors: (req, done) => done(req.headers.origin === EVIL ? FAILURE : null, {}) }
  wire(
    'treats cors itself as a failing middleware when its function fails',
    broken,
    async (world) => {
      const { peer } = await ask(world, WS, { Origin: EVIL })
      assert.equal((await response(peer)).status, 400)
      assert.deepEqual((await world.refusal()).context, {
        name: 'MIDDLEWARE_FAILURE',
        error: FAILURE,
      })
    },
  )

  const strict = { cors: { origin: site, methods: ['GET', 'POST'] } }
  wire('lets cors answer preflights, whatever their Origin', strict, async (world) => {
    const client = await openPolling(world)
    for (const target of [POLLING, client.target]) {
      for (const Origin of [site, EVIL]) {
        const headers = { Host: HOST, Origin, 'Access-Control-Request-Method': 'POST' }
        const answer = await response(await world.peer(request(`OPTIONS ${target}`, headers)))
        assert.equal(answer.status, 204)
        assert.equal(answer.headers['access-control-allow-origin'], site)
        assert.equal(answer.headers['access-control-allow-methods'], 'GET,POST')
      }
    }
    const refused = await response(await world.peer(POLL.ask({ Host: HOST, Origin: EVIL })))
    assert.equal(refused.status, 403)
    assert.equal(refused.headers['access-control-allow-origin'], site)
  })

  wire('does not take an upgrade for a preflight', strict, async (world) => {
    for (const Origin of [site, EVIL, undefined]) {
      const bytes = upgrade(WEBSOCKET, { Host: HOST, Origin })
      const peer = await world.peer(String(bytes).replace(/^GET/, 'OPTIONS'))
      assert.equal((await response(peer)).status, 400)
      assert.equal((await world.refusal()).code, 2)
    }
  })

  wire('refuses preflights as methods without cors', {}, async (world) => {
    const client = await openPolling(world)
    for (const [target, status] of [
      [POLLING, 400],
      [client.target, 405],
    ]) {
      const bytes = request(`OPTIONS ${target}`, { Host: HOST, Origin: EVIL })
      assert.equal((await response(await world.peer(bytes))).status, status)
    }
    await client.prove()
  })
})
