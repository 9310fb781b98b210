// Query, method and path of requests (docs/protocol.md#handshake-and-http).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { openPolling, opened } from '../support/engine-clients.mjs'
import { POLLING, WEBSOCKET, get, post, request, response, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'
import { assertUpgradeRefused, assertRefused } from '../support/refusals.mjs'

const HOST = { Host: '127.0.0.1' }

describe('the query', () => {
  const unknown = {
    missing: '/engine.io/?EIO=4',
    empty: '/engine.io/?EIO=4&transport=',
    unknown: '/engine.io/?EIO=4&transport=carrier-pigeon',
    constructor: '/engine.io/?EIO=4&transport=constructor',
    __proto__: '/engine.io/?EIO=4&transport=__proto__',
    toString: '/engine.io/?EIO=4&transport=toString',
    'in another case': '/engine.io/?EIO=4&transport=Polling',
    'with a space': '/engine.io/?EIO=4&transport=polling%20',
    'with NUL': '/engine.io/?EIO=4&transport=polling%00',
    'unknown in its last value': '/engine.io/?EIO=4&transport=polling&transport=bogus',
  }
  for (const [name, target] of Object.entries(unknown)) {
    const transport = new URLSearchParams(target.split('?')[1]).getAll('transport').at(-1)
    const refusal = { code: 0, message: 'Transport unknown', context: { transport } }
    wire(`refuses the transport ${name} with 400, code 0`, {}, async (world) => {
      await assertRefused(await world.peer(get(target)), 400, 0, 'Transport unknown')
      assert.deepEqual(await world.refusal(), refusal)
    })
    wire(`refuses an upgrade with the transport ${name} with 400, code 0`, {}, async (world) => {
      await assertUpgradeRefused(await world.peer(upgrade(target)), 400, 'Transport unknown')
      assert.deepEqual(await world.refusal(), refusal)
    })
  }

  wire(
    'refuses a request without a query with 400, code 0, on a server without other listeners',
    {},
    async (world) => {
      world.server.removeAllListeners('request')
      await assertRefused(await world.peer(get('/engine.io/')), 400, 0, 'Transport unknown')
    },
  )

  wire(
    'refuses an upgrade with transport=polling with 400, code 3, TRANSPORT_HANDSHAKE_ERROR',
    {},
    async (world) => {
      await assertUpgradeRefused(await world.peer(upgrade(POLLING)), 400, 'Bad request')
      const { code, context } = await world.refusal()
      assert.deepEqual([code, context.name], [3, 'TRANSPORT_HANDSHAKE_ERROR'])
    },
  )

  wire(
    'refuses a GET with transport=websocket with 400, code 3, TRANSPORT_HANDSHAKE_ERROR',
    {},
    async (world) => {
      await assertRefused(await world.peer(get(WEBSOCKET)), 400, 3, 'Bad request')
      const { code, context } = await world.refusal()
      assert.deepEqual([code, context.name], [3, 'TRANSPORT_HANDSHAKE_ERROR'])
    },
  )

  for (const eio of [
    '',
    '&EIO=',
    '&EIO=3',
    '&EIO=5',
    '&EIO=4.0',
    '&EIO=04',
    '&EIO=4&EIO=3',
    '&EIO=constructor',
  ]) {
    const message = 'Unsupported protocol version'
    const refusal = { code: 5, message, context: { protocol: 3 } }
    wire(`refuses ${eio || 'no EIO'} with 400, code 5`, {}, async (world) => {
      await assertRefused(
        await world.peer(get(`/engine.io/?transport=polling${eio}`)),
        400,
        5,
        message,
      )
      assert.deepEqual(await world.refusal(), refusal)
    })
    wire(
      `refuses an upgrade with ${eio || 'no EIO'} with 400, code 5, before the 101`,
      {},
      async (world) => {
        const peer = await world.peer(upgrade(`/engine.io/?transport=websocket${eio}`))
        await assertUpgradeRefused(peer, 400, message)
        assert.deepEqual(await world.refusal(), refusal)
      },
    )
  }

  wire('uses the last of repeated keys, and the app sees what was checked', {}, async (world) => {
    const query =
      '?transport=bogus&EIO=3&EIO=4&transport=polling&a=1&a=2&b=%ff&c=%zz&d=%00&__proto__=x&__proto__[y]=z&e=%0d%0aX:%20y'
    const peer = await world.peer(get(`/engine.io/${query}`))
    const answer = await response(peer)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.x, undefined, 'no value of the query has become a header')
    const { socket } = await world.session()
    const seen = socket.request._query
    assert.equal(seen.transport, 'polling')
    assert.equal(seen.EIO, '4')
    assert.equal(seen.a, '2')
    assert.equal(seen.b, '\ufffd')
    assert.equal(seen.c, '%zz')
    assert.equal(seen.d, '\0')
    assert.equal(seen.e, '\r\nX: y')
    assert.equal({}.y, undefined, 'no effect on prototypes')
    assert.equal({}.x, undefined, 'no effect on prototypes')
    assert.equal(socket.transport.name, 'polling')
  })

  wire('keeps CRLF in its values out of the answer to a refused upgrade', {}, async (world) => {
    const evil = '%0d%0aSet-Cookie:%20a=b'
    const target = `/engine.io/?EIO=4${evil}&transport=websocket${evil}&sid=${evil}`
    const answer = await assertUpgradeRefused(
      await world.peer(upgrade(target)),
      400,
      'Transport unknown',
    )
    assert.equal(answer.headers['set-cookie'], undefined)
  })

  for (const path of [
    '//',
    '//engine.io/',
    '/?EIO=4',
    '/%',
    '/?%',
    '/?sid=%&EIO=4&transport=polling',
    '/\\',
    '/?__proto__',
  ]) {
    wire(`refuses GET ${path} with the engine on / and lives on`, { path: '/' }, async (world) => {
      // With another listener, requests without an Engine.IO query would go to the app.
      world.server.removeAllListeners('request')
      assert.equal((await response(await world.peer(get(path)))).status, 400)
      assert.equal((await response(await world.peer(upgrade(path)))).status, 400)
      assert.deepEqual(world.sessions, [])
      world.proveGood = async () => {
        const peer = await world.peer(upgrade('/?EIO=4&transport=websocket'))
        await opened(peer)
      }
    })
  }
})

describe('a request', () => {
  for (const method of ['POST', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'PROPFIND']) {
    wire(`gets 400 with code 2 for ${method} without sid`, {}, async (world) => {
      const peer = await world.peer(
        request(`${method} ${POLLING}`, { ...HOST, 'Content-Length': '0' }),
      )
      await assertRefused(peer, 400, 2, 'Bad handshake method')
      assert.deepEqual(await world.refusal(), {
        code: 2,
        message: 'Bad handshake method',
        context: { method },
      })
    })
  }

  wire('gets 400 without a body for HEAD without sid', {}, async (world) => {
    const peer = await world.peer(request(`HEAD ${POLLING}`, { ...HOST, Connection: 'close' }))
    assert.equal((await response(peer, { isHead: true })).status, 400)
    assert.equal((await peer.rest()).length, 0)
    assert.equal((await world.refusal()).code, 2)
  })

  wire(
    'gets 400 with code 2 for a POST without sid, whose body is not taken for a request',
    {},
    async (world) => {
      const body = get('/smuggled').toString()
      const peer = await world.peer(post(POLLING, body))
      await assertRefused(peer, 400, 2, 'Bad handshake method')
      assert.deepEqual(world.pages, [])
    },
  )

  for (const method of ['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH']) {
    wire(
      `gets an empty 405 for ${method} with sid, and leaves the session untouched`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const parked = await client.park()
        const peer = await world.peer(
          request(`${method} ${client.target}`, { ...HOST, 'Content-Length': '0' }),
        )
        const answer = await response(peer, { isHead: method === 'HEAD' })
        assert.equal(answer.status, 405)
        assert.equal(answer.headers.allow, 'GET, POST')
        assert.equal(answer.text, '')
        client.session.socket.send('still here')
        assert.equal((await response(parked)).text, '4still here')
        await client.prove()
      },
    )
  }
})

describe('the path is a plain prefix', () => {
  const good = '?EIO=4&transport=polling'
  for (const path of [
    '//engine.io/',
    '/ENGINE.IO/',
    '/x/../engine.io/',
    '/../engine.io/',
    '/engine%2eio/',
    '/engine.io',
    '/./engine.io/',
    '/%65ngine.io/',
  ]) {
    wire(`leaves ${path} to the app`, { destroyUpgradeTimeout: 20 }, async (world) => {
      const answer = await response(await world.peer(get(path + good)))
      assert.equal(answer.text, `page ${path}${good}`)
      const peer = await world.peer(upgrade(`${path}?EIO=4&transport=websocket`))
      assert.equal((await response(peer)).status, 404)
      world.assertUntouched()
    })
  }

  for (const path of ['/engine.io/foo/bar/', '/engine.io/../../etc', '/engine.io/%00']) {
    wire(`takes ${path} for the engine`, {}, async (world) => {
      assert.equal((await response(await world.peer(get(path + good)))).status, 200)
      await opened(await world.peer(upgrade(`${path}?EIO=4&transport=websocket`)))
    })
  }

  const upgradeListener = { destroyUpgradeTimeout: 20 }
  for (const target of [
    'http://169.254.169.254/latest/meta-data/',
    'http://127.0.0.1/engine.io/?EIO=4&transport=websocket',
    'http://127.0.0.1/_next/webpack-hmr',
    'https://evil.example/',
    '*',
  ]) {
    wire(
      `refuses an upgrade of ${target} with 400 before any listener sees it`,
      upgradeListener,
      async (world) => {
        const seen = []
        world.server.prependListener('upgrade', (req) => seen.push(req.url))
        const peer = await world.peer(upgrade(target))
        const answer = await response(peer)
        assert.equal(answer.status, 400)
        assert.equal(answer.headers.connection, 'close')
        assert.equal((await peer.rest()).length, 0)
        assert.deepEqual(seen, [])
        assert.deepEqual(world.sessions, [])
      },
    )
  }

  wire('refuses an upgrade of an authority-form target with 400', {}, async (world) => {
    const seen = []
    world.server.on('upgrade', (req) => seen.push(req.url))
    const peer = await world.peer(upgrade('127.0.0.1:80'))
    assert.equal((await response(peer)).status, 400)
    assert.deepEqual(seen, [])
  })
})
