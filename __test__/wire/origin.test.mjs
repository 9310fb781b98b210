// Which pages may talk to the engine (docs/protocol.md#origin).

import assert from 'node:assert/strict'
import http2 from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import { connect as connectTls } from 'node:tls'
import { describe, test } from 'node:test'
import { Socket } from 'engine.io-client'
import { io as connectSocket } from 'socket.io-client'
import { Engine, attach } from 'upwire'
import originList from '../../lib/admission/origin/list.js'
import { cert, key } from '../support/certificate.mjs'
import { serve, serveEngine } from '../support/servers.mjs'
import { App } from '../support/app.mjs'
import { accepted, openPolling, opened } from '../support/engine-clients.mjs'
import { deferred, event, until } from '../support/events.mjs'
import { POLLING, UPGRADE, WEBSOCKET, post, request, response } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'
import { wire } from '../support/world.mjs'

const HOST = 'app.example:8080'
const OWN = `http://${HOST}`
const EVIL = 'https://evil.example'

/** A WebSocket request with the required headers and those given, and no others. */
const upgrade = (target, headers) => request(`GET ${target}`, { ...UPGRADE, ...headers })

/** A polling session with a queued message, so that a GET is answered at once. */
async function openFull(world) {
  const client = await openPolling(world)
  client.session.socket.send('waiting')
  return client
}

/** Each kind of request: how it is made, and how it is answered when accepted. */
const KINDS = {
  'polling handshake': {
    ask: (headers) => request(`GET ${POLLING}`, headers),
    taken: (peer) => assertOk(peer, /^0\{/),
  },
  'GET of a session': {
    open: openFull,
    ask: (headers, client) => request(`GET ${client.target}`, headers),
    taken: (peer) => assertOk(peer, /^4waiting$/),
  },
  'POST of a session': {
    open: openFull,
    ask: (headers, client) => post(client.target, '4hello', headers),
    taken: (peer) => assertOk(peer, /^ok$/),
  },
  'WebSocket handshake': {
    isUpgrade: true,
    ask: (headers) => upgrade(WEBSOCKET, headers),
    taken: opened,
  },
  'WebSocket of a session': {
    isUpgrade: true,
    open: openFull,
    ask: (headers, client) => upgrade(`${WEBSOCKET}&sid=${client.sid}`, headers),
    taken: accepted,
  },
}
const [POLL, , , WS, PROBE] = Object.values(KINDS)

async function assertOk(peer, body) {
  const answer = await response(peer)
  assert.equal(answer.status, 200, answer.text)
  assert.match(answer.text, body)
}

/** Sends a request of a kind; returns the peer, whose answer is still to come. */
async function ask(world, { open, ask: bytes }, headers) {
  const client = await open?.(world)
  return { client, peer: await world.peer(bytes({ Host: HOST, ...headers }, client)) }
}

async function assertTaken(world, kind, headers) {
  const { peer } = await ask(world, kind, headers)
  await kind.taken(peer).catch((error) => {
    error.message += ` for ${JSON.stringify(headers)}`
    throw error
  })
  if (kind.open === undefined) await world.session()
  peer.destroy()
}

/** Checks the answer to a refused request byte by byte, and what the app is told about it. */
async function assertRefused(world, kind, headers, refusal = {}) {
  const { client, peer } = await ask(world, kind, headers)
  const { name = 'ORIGIN_NOT_ALLOWED', message = 'Origin not allowed', origin, ...more } = refusal
  const answer = await response(peer)
  assert.equal(answer.status, 403, `${answer.line} ${answer.text} for ${JSON.stringify(headers)}`)
  assert.equal(answer.headers.connection, 'close')
  const body = kind.isUpgrade ? message : `{"code":4,"message":"${message}"}`
  assert.equal(answer.text, body)
  assert.equal(answer.headers['content-type'], kind.isUpgrade ? 'text/html' : 'application/json')
  assert.equal((await peer.rest()).length, 0)
  const { code, message: text, context } = await world.refusal()
  assert.deepEqual([code, text], [4, 'Forbidden'])
  const given =
    origin ?? (Array.isArray(headers.Origin) ? headers.Origin.join(', ') : headers.Origin)
  assert.deepEqual(context, { name, message, origin: given, host: headers.Host ?? HOST, ...more })
  await assertUnharmed(client)
}

/** Checks that a session still works after one of its requests was refused. */
async function assertUnharmed(client) {
  if (client === undefined) return
  assert.equal(await client.poll(), '4waiting')
  await client.prove()
}

/** Header values that are not this server's origin, however similar they look. */
const FOREIGN = [
  EVIL,
  'http://app.example',
  'http://app.example:8081',
  'https://app.example',
  'http://app.example.:8080',
  'http://user@app.example:8080',
  'http://user:secret@app.example:8080',
  'http://app.example:8080//',
  'http://app.example:8080/chat',
  'http://app.example:8080?',
  'http://app.example:8080#',
  'http://app.example:8080.evil.example',
  'http://app.example.evil.example:8080',
  'http://evil-app.example:8080',
  'http://evil.app.example:8080',
  'http://app.example:08080',
  'http://app.example:',
  'http:/app.example:8080',
  'http:app.example:8080',
  'http:\\\\app.example:8080',
  'ftp://app.example:8080',
  'ws://app.example:8080',
  'tauri://app.example:8080',
  'app.example:8080',
  '//app.example:8080',
  'http://',
  'file://',
  'null',
  '',
  '*',
  'http://app.example:8080, http://evil.example',
  'http://app.example:8080 http://evil.example',
  ['http://app.example:8080', 'http://app.example:8080'],
  [EVIL, 'http://app.example:8080'],
  ['http://app.example:8080', ''],
]

/** Headers beside `Host: app.example:8080` that show a page of this server. */
const OWN_HEADERS = [
  {},
  { Origin: OWN },
  { Origin: 'https://app.example:8080' },
  { Origin: 'HTTP://App.Example:8080' },
  { Origin: OWN, Host: 'APP.EXAMPLE:8080' },
  { Origin: `${OWN}/` },
  { Origin: 'http://app.example', Host: 'app.example' },
  { Origin: 'http://app.example', Host: 'app.example:80' },
  { Origin: 'http://app.example:80', Host: 'app.example' },
  { Origin: 'https://app.example', Host: 'app.example' },
  { Origin: 'https://app.example', Host: 'app.example:443' },
  { Origin: 'https://app.example:443', Host: 'app.example' },
  { Origin: 'http://[::1]:3000', Host: '[::1]:3000' },
  { Origin: 'http://127.0.0.1', Host: '127.0.0.1' },
  { Origin: EVIL, 'Sec-Fetch-Site': 'same-origin' },
  // Behind a proxy.
  { Origin: 'https://app.example', Host: '10.0.0.1:3000', 'X-Forwarded-Host': 'app.example' },
  { Origin: 'https://app.example', Host: 'x', 'X-Forwarded-Host': 'App.Example , 10.0.0.2' },
  { Origin: 'https://app.example', Host: 'x', 'X-Forwarded-Host': 'app.example:443' },
  { Origin: 'https://app.example', Host: 'x', 'X-Forwarded-Host': ['app.example', 'other'] },
  { Origin: OWN, Host: 'x', 'X-Forwarded-Host': 'app.example', 'X-Forwarded-Port': '8080' },
  { Origin: OWN, Host: 'x', 'X-Forwarded-Host': 'app.example', 'X-Forwarded-Port': '8080, 3000' },
  { Origin: OWN, Host: 'x', 'X-Forwarded-Host': HOST, 'X-Forwarded-Port': '443' },
  { Origin: 'http://[::1]:1', Host: 'x', 'X-Forwarded-Host': '[::1]', 'X-Forwarded-Port': '1' },
]

/** Headers that come close but do not show one. */
const OTHER_HEADERS = [
  { Origin: 'http://app.example', Host: 'app.example:443' },
  { Origin: 'https://app.example', Host: 'app.example:80' },
  { Origin: 'tauri://localhost', Host: 'localhost' },
  { Origin: EVIL, Host: 'x', 'X-Forwarded-Host': 'app.example, evil.example' },
  { Origin: EVIL, Host: 'x', 'X-Forwarded-Host': '' },
  { Origin: OWN, Host: 'x', 'X-Forwarded-Host': 'app.example' },
  { Origin: OWN, Host: 'x', 'X-Forwarded-Host': 'app.example', 'X-Forwarded-Port': '8081' },
  { Origin: OWN, Host: 'x', 'X-Forwarded-Host': 'app.example', 'X-Forwarded-Port': '8080@' },
  { Origin: OWN, Host: 'app.example', 'X-Forwarded-Port': '8080' },
  { Origin: EVIL, 'Sec-Fetch-Site': 'same-site' },
  { Origin: EVIL, 'Sec-Fetch-Site': 'cross-site' },
  { Origin: EVIL, 'Sec-Fetch-Site': 'none' },
  { Origin: EVIL, 'Sec-Fetch-Site': 'SAME-ORIGIN' },
  { Origin: EVIL, 'Sec-Fetch-Site': ['same-origin', 'cross-site'] },
  { Origin: [OWN, OWN], 'Sec-Fetch-Site': 'same-origin' },
]

const LISTED = {
  allowedOrigins: [
    'https://Site.Example:443',
    'http://slash.example/',
    'http://port.example:3000',
    'file://',
    'null',
    'tauri://localhost',
    /^https:\/\/\w+\.pages\.example$/g,
    /sticky/y,
  ],
}
const LISTED_ORIGINS = [
  'https://site.example',
  'https://site.example:443',
  'HTTPS://SITE.EXAMPLE',
  'http://slash.example',
  'http://port.example:3000',
  'file://',
  'null',
  'tauri://localhost',
  // Twice: an expression with the flag g starts where it stopped.
  'https://a.pages.example',
  'https://b.pages.example',
  'sticky://a',
  'sticky://a',
]
const UNLISTED = [
  'http://site.example',
  'https://site.example:444',
  'https://site.example/',
  'https://site.example.evil.example',
  'https://evil-site.example',
  'https://sub.site.example',
  'https://user@site.example',
  'http://port.example',
  'https://port.example:3000',
  'tauri://evil',
  'Null',
  'https://evil.example/https://a.pages.example',
  'https://evil.example, https://a.pages.example',
  [EVIL, 'https://a.pages.example'],
  ['https://site.example', 'https://site.example'],
  'not://sticky',
]

const ANY = { allowedOrigins: '*' }

const FAILURE = new Error('no such tenant')
const ANSWERS = {
  yes: () => true,
  no: () => false,
  later: () => Promise.resolve(true),
  'not later': () => Promise.resolve(false),
  throw: () => {
    throw FAILURE
  },
  reject: () => Promise.reject(FAILURE),
}
const ASKED = { allowedOrigins: (_origin, req) => ANSWERS[req.headers['x-how']]?.() }

for (const [name, kind] of Object.entries(KINDS)) {
  describe(name, () => {
    wire('is accepted from a page of this server, or without a page', {}, async (world) => {
      for (const headers of OWN_HEADERS) await assertTaken(world, kind, headers)
    })

    wire(
      'is refused with 403 from any other page, and the session is unharmed',
      {},
      async (world) => {
        for (const Origin of FOREIGN) await assertRefused(world, kind, { Origin })
        for (const headers of OTHER_HEADERS) await assertRefused(world, kind, headers)
      },
    )

    wire(
      'is accepted from origins equal to those in allowedOrigins, and from no others',
      LISTED,
      async (world) => {
        for (const Origin of LISTED_ORIGINS) await assertTaken(world, kind, { Origin })
        for (const Origin of UNLISTED) await assertRefused(world, kind, { Origin })
        await assertTaken(world, kind, { Origin: OWN })
      },
    )

    wire(
      "is accepted with any Origin, and without one, when allowedOrigins is '*'",
      ANY,
      async (world) => {
        for (const Origin of [EVIL, 'null', '', `${EVIL}/x`, [EVIL, OWN]]) {
          await assertTaken(world, kind, { Origin })
        }
        await assertTaken(world, kind, { 'Sec-Fetch-Site': 'cross-site' })
      },
    )

    wire(
      'is decided by allowedOrigins when that is a function, also asynchronously',
      ASKED,
      async (world) => {
        for (const how of ['yes', 'later']) {
          await assertTaken(world, kind, { Origin: EVIL, 'X-How': how })
        }
        for (const how of ['no', 'not later', undefined]) {
          await assertRefused(world, kind, { Origin: EVIL, 'X-How': how })
        }
      },
    )

    wire(
      'is refused with 403 and the error when the function allowedOrigins fails',
      ASKED,
      async (world) => {
        for (const how of ['throw', 'reject']) {
          const headers = { Origin: EVIL, 'X-How': how }
          await assertRefused(world, kind, headers, { error: FAILURE })
        }
      },
    )
  })
}

describe('the order of the checks', () => {
  wire('the transport is checked before the Origin', {}, async (world) => {
    const bad = '/engine.io/?EIO=4&transport=pigeon'
    const headers = { Host: HOST, Origin: EVIL }
    for (const bytes of [request(`GET ${bad}`, headers), upgrade(bad, headers)]) {
      assert.equal((await response(await world.peer(bytes))).status, 400)
      assert.equal((await world.refusal()).code, 0)
    }
  })

  wire(
    'an unknown sid, a wrong method and a wrong protocol are checked after the Origin',
    {},
    async (world) => {
      const headers = { Host: HOST, Origin: EVIL }
      const requests = [
        request(`GET ${POLLING}&sid=AAAAAAAAAAAAAAAAAAAA`, headers),
        upgrade(`${WEBSOCKET}&sid=AAAAAAAAAAAAAAAAAAAA`, headers),
        request(`PUT ${POLLING}`, headers),
        request('GET /engine.io/?EIO=3&transport=polling', headers),
        request(`GET ${WEBSOCKET}`, headers),
        upgrade(POLLING, headers),
        upgrade(WEBSOCKET, { ...headers, 'Sec-WebSocket-Version': '8' }),
      ]
      for (const bytes of requests) {
        assert.equal((await response(await world.peer(bytes))).status, 403)
        assert.equal((await world.refusal()).context.name, 'ORIGIN_NOT_ALLOWED')
      }
    },
  )

  const asked = []
  const counting = {
    allowRequest: (req, decide) => {
      asked.push(req.headers.origin)
      decide(null, true)
    },
  }
  wire('allowRequest is not called for a refused Origin', counting, async (world) => {
    for (const kind of [POLL, WS]) await assertRefused(world, kind, { Origin: EVIL })
    assert.deepEqual(asked, [])
    await assertTaken(world, WS, { Origin: OWN })
    assert.deepEqual(asked, [OWN])
  })

  wire(
    'an upgrade without a Host, which an Origin could be compared with, gets 400',
    {},
    async (world) => {
      const bytes = request(`GET ${WEBSOCKET} HTTP/1.0`, {
        ...UPGRADE,
        Host: undefined,
        Origin: OWN,
      })
      assert.equal((await response(await world.peer(bytes))).status, 400)
    },
  )
})

const REQUIRED = { requireOrigin: true }

describe('a request without an Origin', () => {
  wire('is refused on polling when Sec-Fetch-Site names a foreign page', {}, async (world) => {
    for (const [name, kind] of Object.entries(KINDS)) {
      for (const site of ['cross-site', 'same-site', '', 'anything', ['none', 'none']]) {
        const headers = { 'Sec-Fetch-Site': site }
        if (kind.isUpgrade) await assertTaken(world, kind, headers)
        else await assertRefused(world, kind, headers)
      }
      for (const site of ['same-origin', 'none']) {
        await assertTaken(world, kind, { 'Sec-Fetch-Site': site }).catch((error) => {
          error.message += ` (${name})`
          throw error
        })
      }
    }
  })

  wire(
    'is refused on WebSocket with requireOrigin, and accepted on polling',
    REQUIRED,
    async (world) => {
      world.goodHeaders = { Origin: `http://127.0.0.1:${world.port}` }
      const required = { name: 'ORIGIN_REQUIRED', message: 'Origin required' }
      await assertRefused(world, WS, {}, required)
      await assertRefused(world, WS, { 'Sec-Fetch-Site': 'same-origin' }, required)
      await assertTaken(world, WS, { Origin: OWN })
      await assertTaken(world, POLL, {})
      const { client, peer } = await ask(world, PROBE, {})
      assert.equal((await response(peer)).text, 'Origin required')
      await assertUnharmed(client)
    },
  )

  const never = {
    requireOrigin: false,
    allowedOrigins: () => assert.fail('asked though there is no Origin'),
  }
  wire('never calls the function allowedOrigins', never, async (world) => {
    for (const kind of [POLL, WS]) await assertTaken(world, kind, {})
    for (const kind of [POLL, WS]) await assertTaken(world, kind, { Origin: OWN })
  })
})

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

describe('a function allowedOrigins that takes its time', () => {
  const slow = { allowedOrigins: () => new Promise(() => {}), handshakeTimeout: 100 }
  for (const [name, kind] of Object.entries(KINDS)) {
    wire(`gets 503 at handshakeTimeout: ${name}`, slow, async (world) => {
      const { client, peer } = await ask(world, kind, { Origin: EVIL })
      const answer = await response(peer)
      assert.equal(answer.status, 503)
      assert.equal((await world.refusal()).context.name, 'HANDSHAKE_TIMEOUT')
      await assertUnharmed(client)
    })
  }

  const pending = []
  const asking = {
    allowedOrigins: (origin) => {
      const answer = deferred()
      pending.push({ origin, ...answer })
      return answer.promise
    },
  }
  wire('leaves nothing behind when the client leaves meanwhile', asking, async (world) => {
    for (const kind of [POLL, WS]) {
      const { peer } = await ask(world, kind, { Origin: EVIL })
      const { resolve } = await until(() => pending.shift(), 'the question')
      peer.reset()
      await until(() => world.engine.stats().pendingHandshakes === 0, 'the handshake to end')
      resolve(true)
    }
    await new Promise(setImmediate)
    assert.deepEqual(world.sessions, [])
    assert.deepEqual(world.refusals, [])
  })

  wire('accepts one of two WebSockets for a session', asking, async (world) => {
    const client = await openPolling(world)
    const bytes = PROBE.ask({ Host: HOST, Origin: EVIL }, client)
    const peers = [await world.peer(bytes), await world.peer(bytes)]
    await until(() => pending.length === 2, 'two calls of the function')
    for (const { resolve } of pending.splice(0)) resolve(true)
    const answers = await Promise.all(peers.map((peer) => response(peer)))
    assert.deepEqual(answers.map(({ status }) => status).sort(), [101, 400])
  })

  wire('refuses a session that ends meanwhile as unknown', asking, async (world) => {
    for (const kind of Object.values(KINDS).filter(({ open }) => open)) {
      const { client, peer } = await ask(world, kind, { Origin: EVIL })
      const { resolve } = await until(() => pending.shift(), 'the question')
      client.session.socket.close(true)
      await client.session.closed()
      resolve(true)
      assert.equal((await response(peer)).status, 400)
      assert.equal((await world.refusal()).code, 1)
    }
  })

  const crowded = { ...asking, maxPendingHandshakes: 1 }
  wire('counts the requests that wait', crowded, async (world) => {
    const first = await ask(world, WS, { Origin: EVIL })
    const { resolve } = await until(() => pending.shift(), 'the question')
    const second = await ask(world, WS, { Origin: EVIL })
    assert.equal((await response(second.peer)).status, 503)
    resolve(true)
    await opened(first.peer)
  })
})

describe('TLS', () => {
  /** A server with TLS on its own connections, and a function that sends it a request. */
  async function tls(t) {
    const served = await serveEngine(t, {}, createTlsServer({ key, cert }))
    const status = async (bytes) => {
      const socket = connectTls({ port: served.port, host: '127.0.0.1', rejectUnauthorized: false })
      await event(socket, 'secureConnect')
      socket.write(bytes)
      const answer = await response(new Peer(socket))
      socket.destroy()
      return answer.status
    }
    return status
  }

  test('the scheme of the Origin must be https with TLS', async (t) => {
    const status = await tls(t)
    const polling = (headers) => request(`GET ${POLLING}`, headers)
    const websocket = (headers) => upgrade(WEBSOCKET, headers)
    for (const [ask, taken] of [
      [polling, 200],
      [websocket, 101],
    ]) {
      for (const host of ['app.example:8443', 'app.example:443', 'app.example']) {
        const authority = host.replace(':443', '')
        assert.equal(await status(ask({ Host: host, Origin: `https://${authority}` })), taken)
        assert.equal(await status(ask({ Host: host, Origin: `http://${authority}` })), 403)
      }
      const forwarded = { Host: 'x', 'X-Forwarded-Host': 'app.example' }
      assert.equal(await status(ask({ ...forwarded, Origin: 'https://app.example' })), taken)
      assert.equal(await status(ask({ ...forwarded, Origin: 'http://app.example' })), 403)
      assert.equal(await status(ask({ Host: 'app.example' })), taken)
    }
  })
})

test('the authority takes the place of Host on HTTP/2', async (t) => {
  const engine = new Engine()
  const server = http2.createServer((req, res) => engine.handleRequest(req, res))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`)
  t.after(() => {
    engine.close()
    session.destroy()
    server.close()
  })
  const status = async (origin) => {
    const stream = session.request({ ':path': POLLING, ':authority': HOST, origin })
    const [headers] = await event(stream, 'response')
    stream.resume()
    return headers[':status']
  }
  assert.equal(await status(OWN), 200)
  assert.equal(await status(EVIL), 403)
})

describe('the official clients', () => {
  const TRANSPORTS = [['polling'], ['websocket'], ['polling', 'websocket']]

  /** Connects with an Origin; gives the final transport, or the status of the refusal. */
  async function outcome(t, url, transports, origin) {
    const near = new Socket(url, { transports, extraHeaders: { Origin: origin } })
    t.after(() => near.close())
    const errors = []
    near.on('error', (error) => errors.push(error))
    const wanted = transports.at(-1)
    await until(
      () => errors.length > 0 || (near.readyState === 'open' && near.transport.name === wanted),
      'an outcome',
    )
    return errors.length > 0 ? 'refused' : near.transport.name
  }

  for (const transports of TRANSPORTS) {
    test(`engine.io-client gets the same decision over ${transports}`, async (t) => {
      const { url } = await serveEngine(t, { allowedOrigins: ['https://site.example'] })
      const wanted = transports.at(-1)
      assert.equal(await outcome(t, url, transports, url), wanted)
      assert.equal(await outcome(t, url, transports, 'https://site.example'), wanted)
      assert.equal(await outcome(t, url, transports, EVIL), 'refused')
    })

    test(`socket.io-client gets the same decision over ${transports}`, async (t) => {
      const { io, url } = await serve(t, { cors: { origin: 'https://site.example' } })
      io.on('connection', (socket) => socket.on('ask', (answer) => answer('well')))
      const connect = (origin) => {
        const extraHeaders = { Origin: origin }
        const near = connectSocket(url, { transports, extraHeaders, reconnection: false })
        t.after(() => near.disconnect())
        return near
      }
      const near = connect('https://site.example')
      assert.equal(await near.timeout(5000).emitWithAck('ask'), 'well')
      const refused = connect(EVIL)
      await event(refused, 'connect_error')
      assert.equal(await near.timeout(5000).emitWithAck('ask'), 'well')
    })
  }
})

describe('warnings', () => {
  /** An app that reports its UPWIRE warnings; `options.engine` are the options of its engine. */
  const start = (t, engine, origins) =>
    App.start(
      t,
      async (options) => {
        process.on('warning', ({ name, code, message }) => {
          if (name === 'UpwireWarning') tell('warning', { code, message })
        })
        const { origin } = options
        const allowedOrigins =
          origin === 'failing' ? () => Promise.reject(new Error('no such tenant')) : origin
        const made = new Engine({ ...options.engine, allowedOrigins })
        const server = createServer()
        made.attach(server)
        tell('port', await listen(server))
      },
      { engine, origin: origins },
    )

  async function send(app, bytes, status) {
    const peer = await Peer.connect(app.port)
    const answer = await response(peer.write(bytes))
    peer.destroy()
    assert.equal(answer.status, status)
    return answer
  }

  const poll = (headers) => request(`GET ${POLLING}`, { Host: HOST, ...headers })

  test('the first refusal of an origin says what was compared and how to fix it', async (t) => {
    const app = await start(t)
    for (let n = 0; n < 3; n++) await send(app, poll({ Origin: EVIL }), 403)
    await send(app, poll({ Origin: 'http://a.example', 'X-Forwarded-Host': 'b.example' }), 403)
    await app.report('warning', 2)
    const [first, second] = app.values('warning')
    assert.equal(first.code, 'UPWIRE_ORIGIN')
    for (const part of [
      '"https://evil.example"',
      'Host "app.example:8080"',
      'X-Forwarded-Host none',
      'proxy_set_header Host $http_host',
      'allowedOrigins: ["https://evil.example"]',
    ]) {
      assert.ok(first.message.includes(part), `${part} in ${first.message}`)
    }
    assert.ok(!first.message.includes('polling'), first.message)
    assert.ok(second.message.includes('X-Forwarded-Host "b.example"'), second.message)
    assert.equal(app.values('warning').length, 2)
  })

  test('a refused upgrade says that the session stays on polling', async (t) => {
    const app = await start(t)
    const { text } = await send(app, poll(), 200)
    const { sid } = JSON.parse(text.slice(1))
    const headers = { Host: HOST, Origin: EVIL }
    await send(app, upgrade(`${WEBSOCKET}&sid=${sid}`, headers), 403)
    const { message } = await app.report('warning')
    assert.match(message, /a WebSocket from a page .* stay on polling/)
  })

  test('at most 16 origins are remembered, long ones are shortened, and an invalid one is no suggestion', async (t) => {
    const app = await start(t)
    await send(app, poll({ Origin: '*' }), 403)
    await send(app, poll({ Origin: `http://${'a'.repeat(5000)}` }), 403)
    for (let n = 0; n < 30; n++) await send(app, poll({ Origin: `http://${n}.example` }), 403)
    await app.report('warning', 16)
    await send(app, poll({ Origin: '*' }), 403)
    const warnings = app.values('warning')
    assert.equal(warnings.length, 16)
    assert.ok(!warnings[0].message.includes('allowedOrigins'), warnings[0].message)
    for (const { message } of warnings) assert.ok(message.length < 1000, message)
  })

  test('null is no suggestion, and control characters are not printed', async (t) => {
    const app = await start(t)
    await send(app, poll({ Origin: 'null' }), 403)
    await send(app, Buffer.from(poll({ Origin: 'http://a\x9b31m.example' }), 'latin1'), 403)
    await app.report('warning', 2)
    const [first, second] = app.values('warning').map(({ message }) => message)
    assert.ok(!first.includes('allowedOrigins'), first)
    assert.ok(second.includes('"http://a\\u009b31m.example"'), second)
  })

  test('a slash at the end of an origin, and any page with credentials, are reported', async (t) => {
    const slash = await start(t, {}, ['https://app.example/', 'file://'])
    const { code, message } = await slash.report('warning')
    assert.equal(code, 'UPWIRE_ORIGIN')
    assert.match(message, /"https:\/\/app\.example\/" in allowedOrigins/)
    const open = await start(t, { cors: { origin: true, credentials: true } })
    const warning = await open.report('warning')
    assert.equal(warning.code, 'UPWIRE_ORIGIN')
    assert.match(warning.message, /credentials/)
    const twice = await start(t, { cors: { origin: '*', credentials: true } }, '*')
    assert.match((await twice.report('warning')).message, /credentials/)
    for (const app of [slash, open, twice]) assert.equal(app.values('warning').length, 1)
  })

  test('correct settings print nothing', async (t) => {
    const app = await start(t, { cors: { origin: 'https://a.example', credentials: true } })
    await send(app, poll({ Origin: 'https://a.example' }), 200)
    await send(app, poll({ 'Sec-Fetch-Site': 'cross-site' }), 403)
    const listed = await start(t, { cors: { origin: '*', credentials: true } }, [
      'https://a.example',
    ])
    await send(listed, poll({ Origin: 'https://a.example' }), 200)
    for (const each of [app, listed]) assert.deepEqual(each.values('warning'), [])
  })

  test('a failing function without a listener causes one warning with its stack', async (t) => {
    const app = await start(t, {}, 'failing')
    for (let n = 0; n < 3; n++) await send(app, poll({ Origin: EVIL }), 403)
    const { code, message } = await app.report('warning')
    assert.equal(code, 'UPWIRE_ORIGIN')
    assert.match(message, /allowedOrigins failed: Error: no such tenant\n +at /)
    assert.equal(app.values('warning').length, 1)
  })
})

test('attach() passes the options on', async (t) => {
  const { url, server } = await serve(t, { allowedOrigins: [], requireOrigin: true })
  assert.equal(attach(server).engine.opts.requireOrigin, true)
  const near = connectSocket(url, { transports: ['websocket'], reconnection: false })
  t.after(() => near.disconnect())
  const [error] = await event(near, 'connect_error')
  assert.equal(error.type, 'TransportError')
})

test('every accepted origin is one to the URL standard too, with the same parts', () => {
  const parts = [
    ['http', 'https', 'HTTP', 'tauri', 'null', '', 'ht tp', '1a'],
    ['://', ':', ':/', '//', ':\\\\', '', ':///'],
    [
      'app.example',
      'App.Example',
      'a',
      '',
      '[::1]',
      '[',
      'a_b',
      'a@b',
      'a%2eb',
      'a b',
      'a,b',
      'ä.b',
    ],
    ['', ':', ':80', ':443', ':3000', ':99999', ':3000a', ':-1'],
    ['', '/', '//', '/x', '?', '#', '\\', '@a.b', '.', ' ', ', http://a'],
  ]
  let taken = 0
  for (const text of product(parts)) {
    const origin = originList.parseLoosely(text)
    if (origin === undefined) continue
    taken++
    const url = new URL(text)
    assert.equal(`${origin.scheme}:`, url.protocol, text)
    assert.equal(origin.host ?? '', url.hostname.toLowerCase(), text)
    if (['http', 'https'].includes(origin.scheme)) {
      assert.equal(origin.port, url.port || { http: '80', https: '443' }[origin.scheme], text)
    }
    assert.deepEqual([url.username, url.search, url.hash], ['', '', ''], text)
    assert.ok(['', '/'].includes(url.pathname), text)
  }
  assert.ok(taken > 50, `${taken} were accepted`)
})

function product([first, ...rest]) {
  if (first === undefined) return ['']
  return product(rest).flatMap((tail) => first.map((head) => head + tail))
}
