// What the app sees of a handshake: address, headers, query, ids, request, async context.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, test } from 'node:test'
import { attach, Engine } from 'upwire'
import {
  TRANSPORTS,
  connect,
  engineClient,
  enginePair,
  pair,
  settled,
} from '../support/clients.mjs'
import { event, gather, turns, until } from '../support/events.mjs'
import { fetchText, upgrade } from '../support/http.mjs'
import { listen, pages, serve, serveEngine, shut } from '../support/servers.mjs'

for (const { transports, settles } of TRANSPORTS) {
  describe(`handshake over ${JSON.stringify(transports)}`, () => {
    test('socket.handshake has what the client sent', async (t) => {
      const served = await serve(t)
      const before = Date.now()
      const { near, far } = await pair(t, served, {
        transports,
        query: { name: 'Grüße', __proto__: undefined, 'a[b]': '1' },
        auth: { token: 't' },
        extraHeaders: { 'x-custom': 'yes', 'user-agent': 'tester' },
      })
      const { handshake } = far
      assert.match(handshake.address, /^(::ffff:)?127\.0\.0\.1$/)
      assert.equal(handshake.headers['x-custom'], 'yes')
      assert.equal(handshake.headers['user-agent'], 'tester')
      assert.equal(handshake.headers.host, `127.0.0.1:${served.port}`)
      assert.equal(handshake.query.name, 'Grüße')
      assert.equal(handshake.query['a[b]'], '1')
      assert.equal(handshake.query.EIO, '4')
      assert.equal(handshake.query.transport, transports[0])
      assert.ok(handshake.url.startsWith('/socket.io/?'))
      assert.equal(handshake.secure, false)
      assert.equal(handshake.xdomain, false)
      assert.deepEqual(handshake.auth, { token: 't' })
      assert.ok(handshake.issued >= before - 1 && handshake.issued <= Date.now())
      assert.equal(new Date(handshake.time).getTime(), Math.floor(handshake.issued / 1000) * 1000)
      assert.equal(far.request.url, handshake.url)
      assert.equal(far.conn.protocol, 4)
      await settled(near, settles)
      assert.equal(far.handshake.address, handshake.address)
    })

    test('ids have 20 characters and differ, and the session’s id is not the socket’s', async (t) => {
      const served = await serve(t)
      const { near, far } = await pair(t, served, { transports })
      assert.match(far.conn.id, /^[\w-]{20}$/)
      assert.match(far.id, /^[\w-]{20}$/)
      assert.notEqual(far.id, far.conn.id)
      assert.equal(near.id, far.id)
      assert.equal(near.io.engine.id, far.conn.id)
    })

    test('generateId can be replaced, also by an asynchronous function', async (t) => {
      const served = await serveEngine(t)
      let count = 0
      const requests = []
      const make = (name) => (req) => {
        requests.push(req)
        return `${name}-${count++}`
      }
      const later = make('later')
      for (const [makes, expected] of [
        [make('own'), 'own-0'],
        [async (req) => Promise.resolve(req).then(later), 'later-1'],
      ]) {
        served.engine.generateId = makes
        const { near, far } = await enginePair(t, served, { transports, settles })
        assert.equal(far.id, expected)
        assert.equal(near.id, expected)
        assert.equal(served.engine.clients[expected], far)
        const got = event(far, 'data')
        near.send('x')
        await got
      }
      for (const req of requests) assert.equal(req._query.transport, transports[0])
    })

    test('generateId that fails or returns an invalid id refuses with code 3', async (t) => {
      const served = await serveEngine(t)
      const { engine } = served
      const errors = gather(engine, 'connection_error')
      const makers = [
        () => {
          throw new Error('no id')
        },
        () => Promise.reject(new Error('no id')),
        () => '',
        () => 7,
        () => undefined,
        () => 'x'.repeat(257),
        () => 'a\nb',
      ]
      for (const makes of makers) {
        engine.generateId = makes
        const near = engineClient(t, served.url, { transports: [transports[0]] })
        await event(near, 'error')
        const [{ code, message, context }] = errors.at(-1)
        assert.deepEqual([code, message, context.name], [3, 'Bad request', 'ID_GENERATION_ERROR'])
        assert.ok(context.error instanceof Error)
      }
      assert.equal(errors.length, makers.length)
      // An id in use does not replace the live session.
      engine.generateId = () => 'taken'
      const { near, far } = await enginePair(t, served, { transports, settles })
      const second = engineClient(t, served.url, { transports: [transports[0]] })
      await event(second, 'error')
      const got = event(far, 'data')
      near.send('alive')
      assert.deepEqual(await got, ['alive'])
      // Once that session has ended, the id is free.
      near.close()
      await until(() => engine.clientsCount === 0, 'no clients')
      await enginePair(t, served, { transports, settles })
    })

    test('the request can be deleted or set to null', async (t) => {
      const served = await serve(t)
      served.engine.on('connection', (socket) => {
        delete socket.request
      })
      const { near, far } = await pair(t, served, { transports })
      assert.deepEqual(far.handshake.headers, {})
      assert.equal(far.request, undefined)
      far.on('echo', (value, ack) => ack(value))
      await settled(near, settles)
      assert.equal(await near.timeout(5000).emitWithAck('echo', 1), 1)

      const other = await serve(t)
      other.engine.on('connection', (socket) => {
        socket.request = null
      })
      const second = await pair(t, other, { transports })
      assert.equal(second.far.conn.request, null)
      assert.deepEqual(second.far.handshake.headers, {})
      await settled(second.near, settles)
      const gone = event(second.far, 'disconnect')
      second.near.close()
      await gone
    })

    test('each connection keeps its own async context', async (t) => {
      const storage = new AsyncLocalStorage()
      const served = await serve(t)
      let count = 0
      // As OpenTelemetry does: around the server's emit.
      const { emit } = served.server
      served.server.emit = function (type, ...args) {
        if (type !== 'request' && type !== 'upgrade') return emit.call(this, type, ...args)
        return storage.run({ n: count++ }, () => emit.call(this, type, ...args))
      }
      served.io.on('connection', (socket) => {
        const store = storage.getStore()
        socket.on('ask', async (ack) => {
          const before = storage.getStore()
          await null
          ack(before !== undefined && before === store && storage.getStore() === store)
        })
        socket.on('disconnect', () => {
          kept.push(storage.getStore() === store)
        })
      })
      const kept = []
      const stores = gather(served.io, 'connection')
      const clients = []
      for (let n = 0; n < 4; n++) clients.push(await connect(t, served.url, { transports }))
      for (const near of clients) await settled(near, settles)
      for (let round = 0; round < 3; round++) {
        const answers = await Promise.all(
          clients.map((near) => near.timeout(5000).emitWithAck('ask')),
        )
        assert.deepEqual(answers, [true, true, true, true])
      }
      assert.equal(stores.length, 4)
      for (const near of clients) near.close()
      await until(() => kept.length === 4, 'the disconnects')
      assert.deepEqual(kept, [true, true, true, true])
    })

    test('two engines on one server stay apart', async (t) => {
      const server = pages()
      const one = attach(server, { path: '/one' })
      const two = attach(server, { path: '/one/two' })
      const bare = new Engine({ path: '/bare' })
      bare.attach(server, { path: '/bare' })
      const url = `http://127.0.0.1:${await listen(server)}`
      t.after(async () => {
        bare.close()
        await Promise.all([one.close(), two.close()])
      })
      assert.notEqual(one, two)
      for (const [io, name] of [
        [one, 'one'],
        [two, 'two'],
      ]) {
        io.on('connection', (socket) => socket.on('who', (ack) => ack(name)))
      }
      const first = await connect(t, url, { path: '/one', transports })
      const second = await connect(t, url, { path: '/one/two', transports })
      for (const near of [first, second]) await settled(near, settles)
      assert.equal(await first.timeout(5000).emitWithAck('who'), 'one')
      assert.equal(await second.timeout(5000).emitWithAck('who'), 'two')
      const { near, far } = await enginePair(
        t,
        { engine: bare, url },
        { path: '/bare', transports, settles },
      )
      const got = event(far, 'data')
      near.send('bare')
      assert.deepEqual(await got, ['bare'])
      assert.deepEqual(
        [one, two, { engine: bare }].map(({ engine }) => engine.clientsCount),
        [1, 1, 1],
      )
      // The sid of one is unknown to the other.
      const { status } = await fetchText(`${url}/one/?EIO=4&transport=polling&sid=${far.id}`)
      assert.equal(status, 400)
    })
  })
}

describe('paths', () => {
  test('are plain prefixes, without a slash when addTrailingSlash is false', async (t) => {
    const served = await serve(t)
    const answer = async (url, path) => (await fetchText(`${url}${path}`)).text.slice(0, 2)
    const query = '?EIO=4&transport=polling'
    assert.equal(await answer(served.url, `/socket.io/${query}`), '0{')
    assert.equal(await answer(served.url, `/socket.io/more/${query}`), '0{')
    for (const path of [
      '/socket.io',
      '/Socket.io/',
      '/x/socket.io/',
      '//socket.io/',
      '/_next/socket.io/',
    ]) {
      assert.equal(await answer(served.url, path + query), 'pa', path)
    }
    const bare = await serve(t, { path: '/api/io', addTrailingSlash: false })
    assert.equal(await answer(bare.url, `/api/io${query}`), '0{')
    assert.equal(await answer(bare.url, `/api/io/${query}`), '0{')
    assert.equal(await answer(bare.url, `/api/${query}`), 'pa')
    await connect(t, bare.url, { path: '/api/io', addTrailingSlash: false })
    const slashed = await serve(t, { path: '/given/' })
    await connect(t, slashed.url, { path: '/given' })
  })

  test('a request without EIO or transport goes to the app if it listens, else gets 400', async (t) => {
    const served = await serve(t)
    assert.equal((await fetchText(`${served.url}/socket.io/`)).text, 'page /socket.io/')
    const { createServer } = await import('node:http')
    const bare = await serve(t, {}, createServer())
    const answer = await fetchText(`${bare.url}/socket.io/`)
    assert.equal(answer.status, 400)
    assert.deepEqual(JSON.parse(answer.text), { code: 0, message: 'Transport unknown' })
  })
})

describe('requests', () => {
  test('the address is the peer’s, whatever headers say', async (t) => {
    const served = await serve(t)
    for (const { transports } of TRANSPORTS) {
      const { far } = await pair(t, served, {
        transports,
        extraHeaders: { 'x-forwarded-for': '10.0.0.1', 'x-real-ip': '10.0.0.2' },
      })
      assert.match(far.handshake.address, /127\.0\.0\.1$/)
      assert.match(far.conn.remoteAddress, /127\.0\.0\.1$/)
    }
  })

  test('xdomain shows whether there was an Origin header', async (t) => {
    const served = await serve(t)
    const { far } = await pair(t, served, {
      transports: ['websocket'],
      extraHeaders: { origin: served.url },
    })
    assert.equal(far.handshake.xdomain, true)
  })

  test('pages and static files still work', async (t) => {
    const served = await serve(t)
    await connect(t, served.url)
    assert.equal((await fetchText(`${served.url}/`)).text, 'page /')
    assert.equal((await fetchText(`${served.url}/socket.iox`)).text, 'page /socket.iox')
  })

  test('headers of a deleted or ended session are released', async (t) => {
    const served = await serveEngine(t)
    const { near, far } = await enginePair(t, served, { transports: ['websocket'] })
    assert.equal(far.request.headers.host, `127.0.0.1:${served.port}`)
    const closed = event(far, 'close')
    near.close()
    await closed
    await turns(1)
    assert.doesNotThrow(() => far.request?.headers)
  })

  test('a server that is closed and listens again accepts clients again', async (t) => {
    const server = pages()
    const io = attach(server)
    const url = `http://127.0.0.1:${await listen(server)}`
    const first = await connect(t, url)
    const gone = event(first, 'disconnect')
    await shut(server)
    await gone
    const again = `http://127.0.0.1:${await listen(server)}`
    t.after(() => io.close())
    for (const { transports } of TRANSPORTS) {
      const { near, far } = await pair(t, { io, url: again }, { transports })
      far.on('echo', (value, ack) => ack(value))
      assert.equal(await near.timeout(5000).emitWithAck('echo', 'again'), 'again')
    }
    assert.equal((await upgrade(again)).status, 101)
  })
})
