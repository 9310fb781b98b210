// Which pages may talk to the engine (docs/protocol.md#origin).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { openPolling, opened } from '../support/engine-clients.mjs'
import { deferred, until } from '../support/events.mjs'
import { POLLING, UPGRADE, WEBSOCKET, request, response } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'
import {
  HOST,
  OWN,
  EVIL,
  OPENING,
  KINDS,
  POLL,
  WS,
  PROBE,
  upgrade,
  ask,
  assertTaken,
  assertRefused,
  assertUnharmed,
} from '../support/origin-requests.mjs'

/** Header values that are not this server's origin, however similar they look. */
const FOREIGN = [
  EVIL,
  'http://app.example',
  'http://app.example:8081',
  'https://app.example',
  'http://app.example.:8080',
  'http://user@app.example:8080',
  'http://user:secret@app.example:8080',
  'ws://app.example',
  'wss://evil.example',
  'http://evil.example/http://app.example:8080',
  'http://evil.example?http://app.example:8080',
  'http://evil.example#@app.example:8080',
  'http://user@app.example:8080/chat',
  'http://app.example:8080\\.evil.example',
  'http://app.example:8080@evil.example/',
  'http://app.example:8080/chat http://evil.example',
  'http://app.example:8080/chat, http://evil.example',
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
  // Clients in other languages that send the URL of the page or of the WebSocket.
  { Origin: `${OWN}//` },
  { Origin: `${OWN}/chat` },
  { Origin: `${OWN}/chat?room=1#top` },
  { Origin: `${OWN}?` },
  { Origin: `${OWN}#` },
  { Origin: `${OWN}/@evil.example` },
  { Origin: 'ws://app.example:8080' },
  { Origin: 'WSS://app.example:8080/socket.io/' },
  { Origin: 'ws://app.example', Host: 'app.example:80' },
  { Origin: 'wss://app.example', Host: 'app.example:443' },
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
  { Origin: 'ws://app.example', Host: 'app.example:443' },
  { Origin: 'wss://app.example', Host: 'app.example:80' },
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
    'capacitor://localhost',
    'ionic://localhost',
    /^https:\/\/\w+\.pages\.example$/g,
    /sticky/y,
  ],
}
const LISTED_ORIGINS = [
  'https://site.example',
  'https://site.example:443',
  'HTTPS://SITE.EXAMPLE',
  'https://site.example/',
  'https://site.example/path?query',
  'wss://site.example',
  'wss://site.example:443/path',
  'file:///index.html',
  'wss://a.pages.example',
  'https://a.pages.example/path',
  'capacitor://localhost',
  'ionic://localhost',
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
  'https://site.example.evil.example',
  'https://evil-site.example',
  'https://sub.site.example',
  'https://user@site.example',
  'http://port.example',
  'https://port.example:3000',
  'tauri://evil',
  'Null',
  'https://evil.example/https://a.pages.example',
  'https://evil.example?https://a.pages.example',
  'ws://a.pages.example',
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
    const client = await openPolling(world, '', OPENING)
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
