// The Origin rule for requests that carry the sid of a session, as they arrive through a proxy that
// replaces Host (docs/protocol.md#origin).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { accepted, openPolling } from '../support/engine-clients.mjs'
import { POLLING, WEBSOCKET, get, post, request, response } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'
import { EVIL, HOST, OWN, WS, POLL, assertRefused, upgrade } from '../support/origin-requests.mjs'

/** The page, and the Host that arrives in its place. */
const PAGE = 'https://app.example'
const INNER = '127.0.0.1:3000'

/** The requests that a session may make, with the status that each gets when it is accepted. */
const ASKS = {
  GET: [(client, headers) => request(`GET ${client.target}`, headers), 200],
  POST: [(client, headers) => post(client.target, '4hello', headers), 200],
  WebSocket: [(client, headers) => upgrade(`${WEBSOCKET}&sid=${client.sid}`, headers), 101],
}

async function open(world, query = '', headers = {}) {
  const client = await openPolling(world, query, { Host: INNER, ...headers })
  client.session.socket.send('waiting')
  return client
}

/** Sends one request of each kind, each for a session of its own. */
async function statuses(world, opening, headers, query) {
  const seen = []
  for (const [make] of Object.values(ASKS)) {
    const client = await open(world, query, opening)
    const peer = await world.peer(make(client, { Host: INNER, ...headers }))
    seen.push((await response(peer)).status)
    peer.destroy()
  }
  return seen
}

const TAKEN = Object.values(ASKS).map(([, status]) => status)
const REFUSED = [403, 403, 403]

describe('a request with the sid of a session, behind a proxy that replaces Host', () => {
  wire('is accepted: the page has read the answer to the handshake', {}, async (world) => {
    for (const opening of [
      {},
      { 'Sec-Fetch-Site': 'same-origin' },
      { Referer: `${PAGE}/chat?room=1` },
      { Referer: `${PAGE}:443/` },
      { Origin: PAGE, 'X-Forwarded-Host': 'app.example' },
    ]) {
      assert.deepEqual(await statuses(world, opening, { Origin: PAGE }), TAKEN)
    }
  })

  wire('works for the whole upgrade, and the WebSocket carries messages', {}, async (world) => {
    const client = await openPolling(world, '', { Host: INNER, Referer: `${PAGE}/` })
    const peer = await world.peer(ASKS.WebSocket[0](client, { Host: INNER, Origin: PAGE }))
    await accepted(peer)
    await client.prove()
  })

  wire('is refused from another page than the one that opened it', {}, async (world) => {
    for (const opening of [
      { Referer: `${PAGE}/chat` },
      { Referer: 'http://app.example/' },
      { Referer: 'about:blank' },
      { Origin: PAGE, 'X-Forwarded-Host': 'app.example' },
    ]) {
      assert.deepEqual(await statuses(world, opening, { Origin: EVIL }), REFUSED)
      assert.deepEqual(await statuses(world, opening, { Origin: 'null' }), REFUSED)
    }
  })

  wire('is refused when the browser says that the page is foreign', {}, async (world) => {
    for (const site of ['cross-site', 'same-site', 'none', '']) {
      const headers = { Origin: PAGE, 'Sec-Fetch-Site': site }
      assert.deepEqual(await statuses(world, {}, headers), REFUSED)
    }
  })

  wire('is refused with two Origins', {}, async (world) => {
    assert.deepEqual(await statuses(world, {}, { Origin: [PAGE, PAGE] }), REFUSED)
  })

  wire(
    'is refused if the handshake was JSONP, whose answer any page can read',
    {},
    async (world) => {
      const opening = {}
      assert.deepEqual(await statuses(world, opening, { Origin: PAGE }, '&j=0'), REFUSED)
    },
  )

  wire('is refused if the app makes the ids, which may be easy to guess', {}, async (world) => {
    let last = 0
    world.engine.generateId = () => `user-${++last}`
    assert.deepEqual(await statuses(world, {}, { Origin: PAGE }), REFUSED)
  })

  const asked = []
  const asking = { allowedOrigins: (origin) => asked.push(origin) > 1000 }
  wire('does not ask the function allowedOrigins', asking, async (world) => {
    assert.deepEqual(await statuses(world, {}, { Origin: PAGE }), TAKEN)
    assert.deepEqual(asked, [])
  })
})

describe('cross-site WebSocket hijacking', () => {
  wire('is refused on every path, whatever the page of another site tries', {}, async (world) => {
    // A handshake of the page's own, with and without a WebSocket.
    for (const kind of [POLL, WS]) {
      await assertRefused(world, kind, { Origin: EVIL })
      await assertRefused(world, kind, { Origin: EVIL, Referer: `${OWN}/`, Cookie: 'user=1' })
      await assertRefused(world, kind, { Origin: 'null' })
    }
    // Images and scripts send no Origin: browsers name the site, and show the page no answer.
    const image = get(POLLING, { Host: HOST, 'Sec-Fetch-Site': 'cross-site' })
    assert.equal((await response(await world.peer(image))).status, 403)
    // A sid that the page has guessed, or that of a session on a WebSocket.
    for (const sid of ['AAAAAAAAAAAAAAAAAAAA', '', 'constructor', '__proto__']) {
      const peer = await world.peer(
        upgrade(`${WEBSOCKET}&sid=${sid}`, { Host: HOST, Origin: EVIL }),
      )
      assert.equal((await response(peer)).status, 403, sid)
    }
  })

  wire('may not use the sid of a session that began on a WebSocket', {}, async (world) => {
    const peer = await world.peer(upgrade(WEBSOCKET, { Host: HOST }))
    await accepted(peer)
    const { sid } = await world.session()
    for (const bytes of [
      upgrade(`${WEBSOCKET}&sid=${sid}`, { Host: HOST, Origin: EVIL }),
      post(`${POLLING}&sid=${sid}`, '4x', { Host: HOST, Origin: EVIL }),
    ]) {
      assert.equal((await response(await world.peer(bytes))).status, 403)
    }
  })
})

describe('X-Forwarded-Host of a page that CORS has let in', () => {
  // CORS grants every page everything, but only one origin may connect.
  const narrow = {
    cors: { origin: true, credentials: true },
    allowedOrigins: ['https://b.example'],
  }
  const forged = { Host: INNER, Origin: EVIL, 'X-Forwarded-Host': 'evil.example' }

  wire('does not count, because the page may have set it', narrow, async (world) => {
    await assertRefused(world, POLL, forged)
  })

  const trusting = { ...narrow, trustProxy: ['127.0.0.1'] }
  wire('counts from a trusted proxy, whose entry is the last one', trusting, async (world) => {
    const status = async (headers) => {
      const peer = await world.peer(get(POLLING, { Host: INNER, ...headers }))
      return (await response(peer)).status
    }
    const own = { Origin: PAGE, 'X-Forwarded-Host': 'app.example' }
    assert.equal(await status(own), 200)
    assert.equal(await status({ ...own, 'X-Forwarded-Host': 'x.example, app.example' }), 200)
    assert.equal(
      await status({
        Origin: `${PAGE}:8443`,
        'X-Forwarded-Host': 'app.example',
        'X-Forwarded-Port': '1, 8443',
      }),
      200,
    )
    await assertRefused(world, POLL, { ...forged, 'X-Forwarded-Host': 'evil.example, app.example' })
  })

  const elsewhere = { ...narrow, trustProxy: ['10.0.0.0/8'] }
  wire('does not count from an address that is not trusted', elsewhere, async (world) => {
    await assertRefused(world, POLL, forged)
  })
})
