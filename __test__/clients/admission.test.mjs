// What decides about a connection: middlewares of Socket.IO and of the engine, allowRequest, CORS,
// header events.

import assert from 'node:assert/strict'
import net from 'node:net'
import { describe, test } from 'node:test'
import {
  TRANSPORTS,
  client,
  connect,
  connected,
  enginePair,
  pair,
  settled,
} from '../support/clients.mjs'
import { event, gather, turns, until } from '../support/events.mjs'
import { fetchText, handshakeText, openPolling, upgrade } from '../support/http.mjs'
import { serve, serveEngine } from '../support/servers.mjs'

for (const { transports } of TRANSPORTS) {
  describe(`admission over ${JSON.stringify(transports)}`, () => {
    test('io.use accepts and refuses', async (t) => {
      const served = await serve(t)
      served.io.use((socket, next) => {
        if (socket.handshake.auth.token === 'good') return next()
        const error = new Error('who are you?')
        error.data = { retry: false }
        next(error)
      })
      served.io.use(async (socket, next) => {
        await null
        socket.data.second = true
        next()
      })
      const { far } = await pair(t, served, { transports, auth: { token: 'good' } })
      assert.equal(far.data.second, true)
      const bad = client(t, served.url, { transports, auth: { token: 'bad' } })
      const [error] = await event(bad, 'connect_error')
      assert.equal(error.message, 'who are you?')
      assert.deepEqual(error.data, { retry: false })
    })

    test('socket.use sees each packet and can refuse it', async (t) => {
      const served = await serve(t)
      const { near, far } = await pair(t, served, { transports })
      far.use(([name], next) => (name === 'bad' ? next(new Error('no')) : next()))
      const errors = gather(far, 'error')
      const good = event(far, 'good')
      near.emit('bad')
      near.emit('good')
      await good
      assert.equal(errors[0][0].message, 'no')
    })

    test('engine middlewares run in order for each request, with the interface of Express', async (t) => {
      const served = await serve(t)
      const seen = []
      served.engine.use((req, _res, next) => {
        req.first = true
        setTimeout(next, 1)
      })
      served.engine.use(async (req, res, next) => {
        await null
        res.setHeader('x-middleware', 'yes')
        seen.push([req.first, req._query.transport])
        next()
      })
      const { near, far } = await pair(t, served, { transports })
      assert.equal(far.request.first, true)
      assert.ok(seen.length > 0)
      assert.deepEqual(seen[0], [true, transports[0]])
      assert.equal(await echo(near, far), 'x')
    })

    test('an engine middleware that fails refuses the request', async (t) => {
      const served = await serve(t)
      const errors = gather(served.engine, 'connection_error')
      const failure = new Error('not today')
      served.engine.use((_req, _res, next) => next(failure))
      const near = client(t, served.url, { transports, tryAllTransports: false })
      await event(near, 'connect_error')
      assert.equal(errors[0][0].code, 3)
      assert.equal(errors[0][0].message, 'Bad request')
      assert.equal(errors[0][0].context.name, 'MIDDLEWARE_FAILURE')
      assert.equal(errors[0][0].context.error, failure)
      assert.equal(served.engine.clientsCount, 0)
    })

    test('allowRequest accepts, at once and later', async (t) => {
      for (const allowRequest of [
        (_req, decide) => decide(null, true),
        (_req, decide) => setTimeout(decide, 5, null, true),
      ]) {
        let calls = 0
        const served = await serve(t, {
          allowRequest: (req, decide) => {
            calls++
            assert.equal(req._query.sid, undefined)
            allowRequest(req, decide)
          },
        })
        const { near, far } = await pair(t, served, { transports })
        if (transports.length > 1) await settled(near, 'websocket')
        assert.equal(await echo(near, far), 'x')
        assert.equal(calls, 1, 'only the handshake calls it')
      }
    })

    test('allowRequest refuses', async (t) => {
      for (const allowRequest of [
        (_req, decide) => decide('no room', false),
        (_req, decide) => setTimeout(decide, 2, 'no room', false),
      ]) {
        const served = await serve(t, { allowRequest })
        const errors = gather(served.engine, 'connection_error')
        const near = client(t, served.url, { transports })
        await event(near, 'connect_error')
        assert.equal(errors[0][0].code, 4)
        assert.equal(errors[0][0].message, 'Forbidden')
        assert.equal(errors[0][0].context.message, 'no room')
        assert.ok(errors[0][0].req.headers)
        assert.equal(served.engine.clientsCount, 0)
      }
    })

    test('allowRequest that throws or rejects refuses, and the server goes on', async (t) => {
      const failure = new Error('bad token')
      for (const allowRequest of [
        () => {
          throw failure
        },
        async () => {
          await null
          throw failure
        },
      ]) {
        let fails = true
        const served = await serve(t, {
          allowRequest: (_req, decide) => (fails ? allowRequest() : decide(null, true)),
        })
        const errors = gather(served.engine, 'connection_error')
        const near = client(t, served.url, { transports })
        await event(near, 'connect_error')
        assert.equal(errors[0][0].code, 4)
        assert.deepEqual(errors[0][0].context, { name: 'ALLOW_REQUEST_ERROR', error: failure })
        fails = false
        await connect(t, served.url, { transports })
      }
    })

    test('the first answer of allowRequest counts', async (t) => {
      const served = await serve(t, {
        allowRequest: (req, decide) => {
          const isGood = req.headers['x-good'] !== undefined
          decide(isGood ? null : 'no', isGood)
          decide(isGood ? 'no' : null, !isGood)
        },
      })
      await connect(t, served.url, { transports, extraHeaders: { 'x-good': '1' } })
      const bad = client(t, served.url, { transports })
      await event(bad, 'connect_error')
      assert.equal(served.engine.clientsCount, 1)
    })
  })
}

function echo(near, far) {
  far.on('echo', (value, ack) => ack(value))
  return near.timeout(5000).emitWithAck('echo', 'x')
}

describe('refusals', () => {
  test('allowRequest: polling gets 403 and JSON, WebSocket 400 and text', async (t) => {
    const message = 'nein: "Größe" \r\nX-Evil: 1'
    const served = await serve(t, { allowRequest: (_req, decide) => decide(message, false) })
    const polling = await fetchText(`${served.url}/socket.io/?EIO=4&transport=polling`)
    assert.equal(polling.status, 403)
    assert.equal(polling.headers['content-type'], 'application/json')
    assert.deepEqual(JSON.parse(polling.text), { code: 4, message })
    const socket = await upgrade(served.url)
    assert.equal(socket.status, 400)
    assert.equal(socket.text, message)
    assert.equal(socket.headers['x-evil'], undefined)
    assert.equal(socket.headers.connection, 'close')
    assert.equal(Number(socket.headers['content-length']), Buffer.byteLength(message))
  })

  test('without a message the refusal says Forbidden', async (t) => {
    const served = await serve(t, { allowRequest: (_req, decide) => decide(null, false) })
    const { status, text } = await fetchText(`${served.url}/socket.io/?EIO=4&transport=polling`)
    assert.equal(status, 403)
    assert.deepEqual(JSON.parse(text), { code: 4, message: 'Forbidden' })
    assert.equal((await upgrade(served.url)).text, 'Forbidden')
  })

  test('allowRequest and middlewares that never answer get 503 at handshakeTimeout', async (t) => {
    for (const [opts, middleware] of [
      [{ allowRequest: () => {} }, undefined],
      [{}, () => {}],
    ]) {
      const served = await serve(t, { handshakeTimeout: 50, ...opts })
      if (middleware) served.engine.use(middleware)
      const polling = fetchText(`${served.url}/socket.io/?EIO=4&transport=polling`)
      const socket = upgrade(served.url)
      assert.equal((await polling).status, 503)
      assert.ok(Number((await polling).headers['retry-after']) >= 1)
      assert.equal((await socket).status, 503)
    }
  })

  test('more than maxPendingHandshakes at once get 503, and the ones before them are served', async (t) => {
    const waiting = []
    const served = await serve(t, {
      maxPendingHandshakes: 2,
      allowRequest: (_req, decide) => waiting.push(decide),
    })
    const target = `${served.url}/socket.io/?EIO=4&transport=polling`
    const first = [fetchText(target), fetchText(target)]
    await until(() => waiting.length === 2, 'two waiting handshakes')
    assert.equal((await fetchText(target)).status, 503)
    assert.equal((await upgrade(served.url)).status, 503)
    for (const decide of waiting) decide(null, true)
    for (const answer of first) assert.equal((await answer).status, 200)
    const last = fetchText(target)
    await until(() => waiting.length === 3, 'the next handshake to wait')
    waiting[2](null, true)
    assert.equal((await last).status, 200)
  })

  for (const transport of ['polling', 'websocket']) {
    for (const leave of ['destroy', 'resetAndDestroy']) {
      test(`the answer for a ${transport} client that has left (${leave}) creates no session`, async (t) => {
        const asked = []
        const served = await serve(t, {
          maxPendingHandshakes: 1,
          allowRequest: (req, decide) => asked.push({ req, decide }),
        })
        const raw = net.connect(served.port, '127.0.0.1')
        raw.on('error', () => {})
        raw.write(handshakeText(transport))
        await until(() => asked.length === 1, 'a call of allowRequest')
        const { req, decide } = asked[0]
        const left = event(req.socket, 'close', 2000)
        raw[leave]()
        await left
        decide(null, true)
        await turns(5)
        assert.equal(served.engine.clientsCount, 0)
        // The place of the client that has left is free again.
        const near = client(t, served.url, { transports: [transport] })
        await until(() => asked.length === 2, 'the next call of allowRequest')
        asked[1].decide(null, true)
        await connected(near)
        assert.equal(served.engine.clientsCount, 1)
      })
    }
  }

  test('a middleware that answers by itself ends the request', async (t) => {
    const served = await serve(t)
    served.engine.use((_req, res) => {
      res.statusCode = 418
      res.end('teapot')
    })
    const { status, text } = await fetchText(`${served.url}/socket.io/?EIO=4&transport=polling`)
    assert.deepEqual([status, text], [418, 'teapot'])
    await assert.rejects(upgrade(served.url), /socket hang up|ECONNRESET/)
    assert.equal(served.engine.clientsCount, 0)
  })

  test('unknown transport, sid and protocol have engine.io’s codes and contexts', async (t) => {
    const served = await serve(t)
    const errors = gather(served.engine, 'connection_error')
    const cases = [
      ['EIO=4&transport=pigeon', 0, 'Transport unknown', { transport: 'pigeon' }],
      ['EIO=4&transport=constructor', 0, 'Transport unknown', { transport: 'constructor' }],
      ['EIO=4&transport=polling&sid=nobody', 1, 'Session ID unknown', { sid: 'nobody' }],
      ['EIO=3&transport=polling', 5, 'Unsupported protocol version', { protocol: 3 }],
    ]
    for (const [query, code, message, context] of cases) {
      const { status, text } = await fetchText(`${served.url}/socket.io/?${query}`)
      assert.equal(status, 400)
      assert.deepEqual(JSON.parse(text), { code, message })
      const [error] = errors.at(-1)
      assert.equal(error.code, code)
      assert.equal(error.message, message)
      assert.deepEqual(error.context, context)
      assert.ok(error.req.url.endsWith(query))
    }
    const post = await fetchText(`${served.url}/socket.io/?EIO=4&transport=polling`, {
      method: 'POST',
    })
    assert.deepEqual(JSON.parse(post.text), { code: 2, message: 'Bad handshake method' })
    assert.deepEqual(errors.at(-1)[0].context, { method: 'POST' })
    await connect(t, served.url)
  })
})

describe('cors', () => {
  const origin = 'http://app.example'

  test('its headers are on polling, on the 101 and on refusals, and preflights are answered', async (t) => {
    const served = await serve(t, { cors: { origin, credentials: true, methods: ['GET', 'POST'] } })
    const target = `${served.url}/socket.io/?EIO=4&transport=polling`
    const headers = { Origin: origin }
    const check = (answer) => {
      assert.equal(answer.headers['access-control-allow-origin'], origin)
      assert.equal(answer.headers['access-control-allow-credentials'], 'true')
      assert.match(answer.headers.vary, /Origin/)
    }
    const open = await fetchText(target, { headers })
    assert.equal(open.status, 200)
    check(open)
    const socket = await upgrade(served.url, { headers })
    assert.equal(socket.status, 101)
    check(socket)
    const refused = await fetchText(`${target}&sid=nobody`, { headers })
    assert.equal(refused.status, 400)
    check(refused)
    const preflight = await fetchText(target, {
      method: 'OPTIONS',
      headers: { ...headers, 'Access-Control-Request-Method': 'POST' },
    })
    assert.equal(preflight.status, 204)
    assert.equal(preflight.headers['access-control-allow-methods'], 'GET,POST')
    check(preflight)
    const { sid } = JSON.parse(open.text.slice(1))
    const sessionPreflight = await fetchText(`${target}&sid=${sid}`, { method: 'OPTIONS', headers })
    assert.equal(sessionPreflight.status, 204)
  })

  test('an origin function and `true` work, and clients connect', async (t) => {
    for (const cors of [
      true,
      { origin: (_origin, done) => done(null, true) },
      (_req, done) => done(null, { origin }),
    ]) {
      const served = await serve(t, { cors })
      for (const { transports } of TRANSPORTS) {
        await connect(t, served.url, { transports, extraHeaders: { origin } })
      }
    }
  })

  test('without cors a preflight is refused', async (t) => {
    const served = await serve(t)
    const target = `${served.url}/socket.io/?EIO=4&transport=polling`
    assert.equal((await fetchText(target, { method: 'OPTIONS' })).status, 400)
    const { sid } = await openPolling(served.url)
    const inSession = await fetchText(`${target}&sid=${sid}`, { method: 'OPTIONS' })
    assert.equal(inSession.status, 405)
    assert.equal(inSession.headers.allow, 'GET, POST')
    const get = fetchText(`${target}&sid=${sid}`)
    served.io.engine.clients[sid].send('still here')
    assert.equal((await get).text, '4still here')
  })
})

describe('header events', () => {
  test('initial_headers fires for handshakes and headers for every answer, on both transports', async (t) => {
    const served = await serveEngine(t)
    const { engine, url } = served
    engine.on('initial_headers', (headers, req) => {
      headers['x-initial'] = req._query.transport
      headers['set-cookie'] = ['a=1', 'b=2']
    })
    engine.on('headers', (headers) => {
      headers['x-each'] = 'yes'
    })
    const target = `${url}/engine.io/?EIO=4&transport=polling`
    const open = await fetchText(target)
    assert.equal(open.headers['x-initial'], 'polling')
    assert.equal(open.headers['x-each'], 'yes')
    assert.deepEqual(open.headers['set-cookie'], ['a=1', 'b=2'])
    assert.equal(open.headers['cache-control'], 'no-store')
    assert.equal(open.headers['content-type'], 'text/plain; charset=UTF-8')
    const { sid } = JSON.parse(open.text.slice(1))
    const post = await fetchText(`${target}&sid=${sid}`, { method: 'POST', body: '4hello' })
    assert.equal(post.headers['x-initial'], undefined)
    assert.equal(post.headers['x-each'], 'yes')
    assert.equal(post.text, 'ok')
    const handshake = await upgrade(url, { path: '/engine.io/?EIO=4&transport=websocket' })
    assert.equal(handshake.status, 101)
    assert.equal(handshake.headers['x-initial'], 'websocket')
    assert.equal(handshake.headers['x-each'], 'yes')
    // One line for each value (docs/protocol.md#handshake-and-http).
    assert.deepEqual(handshake.headers['set-cookie'], ['a=1', 'b=2'])
    const probe = await upgrade(url, { path: `/engine.io/?EIO=4&transport=websocket&sid=${sid}` })
    assert.equal(probe.status, 101)
    assert.equal(probe.headers['x-initial'], undefined)
    assert.equal(probe.headers['x-each'], 'yes')
  })

  test('headers that middlewares set are sent on both transports', async (t) => {
    const served = await serveEngine(t)
    served.engine.use((_req, res, next) => {
      res.setHeader('X-Powered', 'upwire')
      res.setHeader('Set-Cookie', ['c=3', 'd=4'])
      next()
    })
    const polling = await fetchText(`${served.url}/engine.io/?EIO=4&transport=polling`)
    const socket = await upgrade(served.url, { path: '/engine.io/?EIO=4&transport=websocket' })
    for (const { headers } of [polling, socket]) {
      assert.equal(headers['x-powered'], 'upwire')
      assert.deepEqual(headers['set-cookie'], ['c=3', 'd=4'])
    }
  })

  test('writeHead is called before the upgrade, for middlewares that wait for it', async (t) => {
    const served = await serveEngine(t)
    served.engine.use((_req, res, next) => {
      const { writeHead } = res
      res.writeHead = function (...args) {
        res.setHeader('x-late', 'flushed')
        return writeHead.apply(this, args)
      }
      next()
    })
    const polling = await fetchText(`${served.url}/engine.io/?EIO=4&transport=polling`)
    assert.equal(polling.headers['x-late'], 'flushed')
    const socket = await upgrade(served.url, { path: '/engine.io/?EIO=4&transport=websocket' })
    assert.equal(socket.headers['x-late'], 'flushed')
  })

  test('clients connect whatever headers are added', async (t) => {
    const served = await serveEngine(t)
    served.engine.on('headers', (headers) => {
      headers['x-long'] = 'x'.repeat(4000)
    })
    for (const { transports, settles } of TRANSPORTS) {
      const { near, far } = await enginePair(t, served, { transports, settles })
      const got = event(far, 'data')
      near.send('x')
      await got
    }
  })
})
