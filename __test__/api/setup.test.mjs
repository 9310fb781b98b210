// Repeated calls of attach(): by a route at each request, and with handlers that change, as after an edit
// under `next dev`.

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import { attach } from 'upwire'
import { socketRoute } from 'upwire/next'
import { client, connect, connected } from '../support/clients.mjs'
import { event, uncaughtErrors, until } from '../support/events.mjs'
import { fetchText } from '../support/http.mjs'
import { listen, serve, shut } from '../support/servers.mjs'

/** The answers to a client's question: one from each handler on the server. */
async function answers(socket) {
  const seen = []
  socket.on('answer', (text) => seen.push(text))
  await socket.emitWithAck('question')
  socket.off('answer')
  return seen
}

const answering = (text) => (io) => {
  io.on('connection', (socket) => {
    socket.on('question', (done) => {
      socket.emit('answer', text)
      setImmediate(done)
    })
  })
}

describe('a route that calls attach() at each request', () => {
  const route = (server) => {
    const io = attach(server)
    io.use((_socket, next) => next())
    io.on('connection', (socket) => {
      socket.on('question', (done) => {
        socket.emit('answer', 'route')
        setImmediate(done)
      })
    })
    return io
  }

  test('adds its handlers once', async (t) => {
    const { server, io, url } = await serve(t)
    for (let request = 0; request < 5; request++) assert.equal(route(server), io)
    assert.equal(io.sockets._fns.length, 1)
    assert.deepEqual(await answers(await connect(t, url)), ['route'])
  })

  test('keeps handlers of other code, and two handlers with the same source', async (t) => {
    const { server, io, url } = await serve(t)
    for (const text of ['one', 'two']) {
      io.on('connection', (socket) => socket.on('question', () => socket.emit('answer', text)))
    }
    route(server)
    route(server)
    assert.deepEqual((await answers(await connect(t, url))).sort(), ['one', 'route', 'two'])
  })

  test('adds its handlers once on the engine, for other events, and for dynamic namespaces', async (t) => {
    const { server, io, url } = await serve(t)
    const route = () => {
      const again = attach(server)
      again.engine.use((_req, _res, next) => next())
      again.engine.on('connection_error', () => {})
      again.engine.addListener('limit', () => {})
      again.on('from another server', () => {})
      again.of(/^\/room-\d+$/, (socket) => socket.on('question', (done) => done('room')))
    }
    const socketIos = io.engine.listenerCount('connection')
    for (let request = 0; request < 12; request++) route()
    assert.equal(io.engine.middlewares.length, 1)
    assert.equal(io.engine.listenerCount('connection_error'), 1)
    assert.equal(io.engine.listenerCount('limit'), 1)
    assert.equal(io.engine.listenerCount('connection'), socketIos)
    assert.equal(io.sockets.listenerCount('from another server'), 1)
    assert.equal(io.parentNsps.size, 1)
    for (const parent of io.parentNsps.values()) {
      assert.equal(parent.listenerCount('connect') + parent.listenerCount('connection'), 1)
    }
    const socket = await connect(t, `${url}/room-1`)
    assert.equal(await socket.emitWithAck('question'), 'room')
    assert.throws(() => io.of(/stateful/g), /stateful/)
  })

  test('keeps the order of middlewares, also for a request that waits in one of them', async (t) => {
    const { server, io, url } = await serve(t)
    const steps = new EventEmitter()
    const route = () => {
      const { engine } = attach(server)
      engine.use((_req, _res, next) => {
        steps.once('continue', next)
        steps.emit('begun')
      })
    }
    route()
    io.engine.use((_req, res) => res.writeHead(401).end('not you'))
    const begun = event(steps, 'begun')
    const answer = fetchText(`${url}/socket.io/?EIO=4&transport=polling`)
    await begun
    route()
    route()
    steps.emit('continue')
    assert.equal((await answer).status, 401)
    assert.match(String(io.engine.middlewares.at(-1)), /not you/)
    assert.equal(io.engine.middlewares.length, 2)
  })

  test('keeps namespace functions with the same source but different closures apart', async (t) => {
    const { server, url } = await serve(t)
    const route = () => {
      for (const path of ['/a', '/b']) {
        const io = attach(server)
        io.of((name, _auth, next) => next(null, name === path)).on('connection', (socket) =>
          socket.emit('path', path),
        )
      }
    }
    route()
    route()
    for (const path of ['/a', '/b']) {
      const socket = client(t, url + path)
      assert.deepEqual(await event(socket, 'path'), [path])
    }
  })

  test('also adds its handlers once in namespaces', async (t) => {
    const { server, io, url } = await serve(t)
    const listen = () => {
      attach(server)
        .of('/admin')
        .on('connection', (socket) => socket.on('question', (done) => done()))
    }
    listen()
    listen()
    listen()
    assert.equal(io.of('/admin').listenerCount('connection'), 1)
    await (await connect(t, `${url}/admin`)).emitWithAck('question')
  })

  test('gets no warning when its options are equal, functions included', async (t) => {
    const options = () => ({
      pingInterval: 20_000,
      allowRequest: (_req, decide) => decide(null, true),
    })
    const { server } = await serve(t, options())
    const warnings = []
    const onWarning = (warning) => warnings.push(warning.code)
    process.on('warning', onWarning)
    t.after(() => process.off('warning', onWarning))
    attach(server, options())
    await new Promise(setImmediate)
    assert.deepEqual(warnings, [])
  })
})

describe('a setup', () => {
  test('runs once, however often attach() is called with it', async (t) => {
    const { server, io, url } = await serve(t)
    let runs = 0
    const route = () =>
      attach(server, {}, (it) => {
        runs++
        answering('setup')(it)
      })
    for (let request = 0; request < 3; request++) assert.equal(route(), io)
    assert.equal(runs, 1)
    assert.deepEqual(await answers(await connect(t, url)), ['setup'])
  })

  test('is replaced by one with another source, and clients reconnect to the new handlers', async (t) => {
    const { server, io, url } = await serve(t)
    attach(server, {}, (it) => {
      it.use((_socket, next) => next())
      it.engine.use((_req, _res, next) => next())
      answering('old')(it)
    })
    io.on('connection', (socket) => socket.on('question', () => socket.emit('answer', 'other')))
    const socket = client(t, url, { reconnection: true, reconnectionDelay: 1 })
    await connected(socket)
    assert.deepEqual(await answers(socket), ['old', 'other'])
    const gone = event(socket, 'disconnect')
    attach(server, {}, (it) => answering('new')(it))
    assert.equal((await gone)[0], 'transport close')
    await connected(socket)
    assert.deepEqual((await answers(socket)).sort(), ['new', 'other'])
    assert.equal(io.sockets._fns.length, 0)
    assert.equal(io.engine.middlewares.length, 0)
  })

  test('may return a function that cleans up, or a promise of one', async (t) => {
    const { server } = await serve(t)
    const cleaned = []
    attach(server, {}, () => () => cleaned.push('first'))
    assert.deepEqual(cleaned, [])
    attach(server, {}, async () => () => cleaned.push('second'))
    assert.deepEqual(cleaned, ['first'])
    await new Promise(setImmediate)
    attach(server, {}, () => undefined)
    assert.deepEqual(cleaned, ['first', 'second'])
  })

  test('may be asynchronous; a replacement removes handlers that it has added later', async (t) => {
    const { server, io } = await serve(t)
    attach(server, {}, async (it) => {
      await undefined
      it.on('connection', () => {})
    })
    await new Promise(setImmediate)
    assert.equal(io.sockets.listenerCount('connection'), 1)
    attach(server, {}, () => {})
    assert.equal(io.sockets.listenerCount('connection'), 0)
  })

  test('that is replaced before its promise resolves still cleans up', async (t) => {
    const { server, io } = await serve(t)
    const cleaned = []
    attach(server, {}, async () => () => cleaned.push('first'))
    attach(server, {}, (it) => it.on('connection', () => {}))
    assert.deepEqual(cleaned, [])
    await new Promise(setImmediate)
    assert.deepEqual(cleaned, ['first'])
    assert.equal(io.sockets.listenerCount('connection'), 1, 'the handler of the second setup stays')
  })

  for (const isAsync of [false, true]) {
    test(`that ${isAsync ? 'rejects' : 'throws'} leaves no handlers behind, and runs again`, async (t) => {
      const { server, io, url } = await serve(t)
      const good = answering('good')
      attach(server, {}, good)
      const broken = (it) => {
        answering('broken')(it)
        throw new Error('broken')
      }
      const socket = client(t, url, { reconnection: true, reconnectionDelay: 1 })
      await connected(socket)
      if (isAsync) {
        const errors = uncaughtErrors(t)
        attach(server, {}, async (it) => broken(it))
        await until(() => errors.length > 0, 'the error')
        assert.deepEqual(errors, ['broken'])
        assert.equal(io.sockets.listenerCount('connection'), 0)
      } else {
        for (let request = 0; request < 2; request++) {
          assert.throws(() => attach(server, {}, broken), /broken/)
          assert.equal(io.sockets.listenerCount('connection'), 0)
        }
      }
      const back = event(socket, 'connect')
      attach(server, {}, good)
      await back
      assert.deepEqual(await answers(socket), ['good'])
    })
  }

  test('has its handlers removed from dynamic namespaces when it is replaced', async (t) => {
    const { server, io, url } = await serve(t)
    attach(server, {}, (it) => {
      it.of(/^\/room-\d+$/).on('connection', (socket) => socket.on('question', (done) => done()))
    })
    const socket = await connect(t, `${url}/room-1`)
    await socket.emitWithAck('question')
    attach(server, {}, () => {})
    assert.equal(io.of('/room-1').listenerCount('connection'), 0)
  })

  test('must be a function', async (t) => {
    const { server } = await serve(t)
    assert.throws(() => attach(server, {}, 'setup'), {
      code: 'ERR_UPWIRE_INVALID_OPTION',
      message: /setup of attach\(\) must be a function, got setup/,
    })
  })
})

describe('socketRoute()', () => {
  const path = '/api/socket'
  const options = { path, addTrailingSlash: false }

  /** A server that calls the route for each request; `returned` collects the results of its promises. */
  async function serveRoute(t, route) {
    const returned = []
    const server = createServer((req, res) => {
      returned.push(route.current(req, res).then(() => res.writableFinished))
    })
    const port = await listen(server)
    t.after(() => shut(server))
    return { server, returned, url: `http://127.0.0.1:${port}` }
  }

  test('answers the poll that has called it, and resolves when the response is finished', async (t) => {
    const route = { current: socketRoute(options, answering('route')) }
    const { url, returned } = await serveRoute(t, route)
    const socket = await connect(t, url, { ...options, transports: ['polling'] })
    assert.deepEqual(await answers(socket), ['route'])
    assert.deepEqual(
      await Promise.all(returned),
      [true],
      'later requests no longer reach the route',
    )
  })

  test('answers requests that are not Engine.IO', async (t) => {
    const route = { current: socketRoute(options, answering('route')) }
    const { url, returned } = await serveRoute(t, route)
    for (let request = 0; request < 2; request++) {
      assert.deepEqual(await fetchText(url + path).then(({ status, text }) => [status, text]), [
        200,
        '',
      ])
    }
    const socket = await connect(t, url, { ...options, transports: ['websocket'] })
    assert.deepEqual(await answers(socket), ['route'])
    assert.equal(returned.length, 2)
  })

  test('replaces its handlers once when the route is evaluated again', async (t) => {
    const route = { current: socketRoute(options, answering('first')) }
    const { url } = await serveRoute(t, route)
    const comesBack = { reconnection: true, reconnectionDelay: 1 }
    const socket = client(t, url, { ...options, ...comesBack, transports: ['polling'] })
    await connected(socket)
    const back = event(socket, 'connect')
    const first = route.current
    // The source is the same, but the closure differs.
    route.current = socketRoute(options, answering('second'))
    await fetchText(url + path)
    await back
    assert.deepEqual(await answers(socket), ['second'])
    route.current = first
    await fetchText(url + path)
    assert.deepEqual(await answers(socket), ['second'])
  })

  test('rejects with the errors that attach() throws', async () => {
    const route = socketRoute({ ...options, pingInterval: '1' })
    await assert.rejects(route({ url: path }, {}), { code: 'ERR_UPWIRE_INVALID_SERVER' })
    const res = { socket: { server: createServer() } }
    await assert.rejects(route({ url: path }, res), { code: 'ERR_UPWIRE_INVALID_OPTION' })
  })
})
