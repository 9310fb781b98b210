// Ends of io, of the server and of the process: every close calls back soon, clients are notified,
// and nothing keeps the process alive (docs/protocol.md#shutdown).

import assert from 'node:assert/strict'
import net from 'node:net'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { attach, Engine } from 'upwire'
import {
  TRANSPORTS,
  client,
  connect,
  connected,
  engineClient,
  pair,
  settled,
} from '../support/clients.mjs'
import { start } from '../support/child.mjs'
import { event, gather, until, within } from '../support/events.mjs'
import { fetchText, handshakeText, openPolling, upgrade } from '../support/http.mjs'
import { listen, pages, shut } from '../support/servers.mjs'
import { WebSocket } from '../support/websocket.mjs'

const programs = new URL('./programs.mjs', import.meta.url)

/** "Soon" for the callback of a close: far below any timeout that it could wait for. */
const SOON = 200
/** How long a whole process may take to end with peers that answer. */
const EXIT = 1500

/** A client of each kind, on its final transport. */
async function allKinds(t, url) {
  const clients = []
  for (const { transports, settles } of TRANSPORTS) {
    const near = await connect(t, url, { transports })
    await settled(near, settles)
    clients.push(near)
  }
  return clients
}

function connectionsOf(server) {
  return promisify(server.getConnections.bind(server))()
}

/** Waits until each polling session has its GET parked. */
function quiet(engine) {
  return until(
    () => Object.values(engine.clients).every(({ transport }) => transport.writable),
    'GETs to be parked',
  )
}

describe('io.close()', () => {
  test('ends clients, sessions and the server', async (t) => {
    const server = pages()
    const io = attach(server)
    const url = `http://127.0.0.1:${await listen(server)}`
    const reasons = []
    const order = []
    io.on('connection', (socket) => {
      socket.on('disconnecting', (reason) => order.push(reason))
      socket.on('disconnect', (reason) => reasons.push(reason))
    })
    const clients = await allKinds(t, url)
    await quiet(io.engine)
    const nearReasons = clients.map((near) => event(near, 'disconnect'))
    const raw = await WebSocket.open(t, server.address().port)
    const start = performance.now()
    await within(io.close(), 'io.close()')
    const took = performance.now() - start
    assert.ok(took < SOON, `${took} ms`)
    assert.deepEqual(reasons, Array(clients.length).fill('server shutting down'))
    assert.deepEqual(order, reasons)
    for (const reason of nearReasons) assert.equal((await reason)[0], 'transport close')
    await within(raw.ended, 'the end of the WebSocket')
    assert.equal(raw.closeCode, 1001)
    assert.equal(io.engine.clientsCount, 0)
    assert.equal(server.listening, false)
    await assert.rejects(fetchText(url), /ECONNREFUSED/)
  })

  test('does no harm when called twice, or with the other closes in any order', async (t) => {
    const orders = [
      ['io', 'io'],
      ['io', 'server'],
      ['server', 'io'],
      ['engine', 'io', 'engine'],
      ['server', 'server'],
      ['io', 'engine', 'server'],
    ]
    for (const order of orders) {
      const server = pages()
      const io = attach(server)
      const url = `http://127.0.0.1:${await listen(server)}`
      const near = await connect(t, url, { transports: ['websocket'] })
      const gone = event(near, 'disconnect')
      const codes = []
      for (const part of order) {
        if (part === 'io') io.close().catch(() => {})
        if (part === 'engine') io.engine.close()
        if (part === 'server') server.close((error) => codes.push(error?.code))
      }
      await gone
      await until(() => !server.listening, `${order}: the server to be closed`)
      await until(
        () => codes.length === order.filter((part) => part === 'server').length,
        `${order}: callbacks`,
      )
      if (String(order) === 'server,server')
        assert.deepEqual(codes.sort(), ['ERR_SERVER_NOT_RUNNING', undefined])
      assert.equal(io.engine.clientsCount, 0)
    }
  })

  test('works before the server has listened', async () => {
    const io = attach(pages())
    await within(io.close(), 'io.close()')
  })

  test('works while allowRequest never answers a handshake', async (t) => {
    const asked = []
    const server = pages()
    const io = attach(server, { allowRequest: (req) => asked.push(req) })
    const port = await listen(server)
    for (const transport of ['polling', 'websocket']) {
      const raw = net.connect(port, '127.0.0.1')
      t.after(() => raw.destroy())
      raw.on('error', () => {})
      raw.resume()
      raw.write(handshakeText(transport))
    }
    await until(() => asked.length === 2, 'two waiting handshakes')
    await within(io.close(), 'io.close()')
  })
})

describe('engine.close()', () => {
  test('closes with 1001, answers parked polls, and refuses new requests', async (t) => {
    const server = pages()
    const engine = new Engine()
    engine.attach(server)
    const port = await listen(server)
    const url = `http://127.0.0.1:${port}`
    t.after(() => shut(server))
    const socket = await WebSocket.open(t, port, { path: '/engine.io/?EIO=4&transport=websocket' })
    const { sid } = await openPolling(url, '/engine.io/')
    const poll = fetchText(`${url}/engine.io/?EIO=4&transport=polling&sid=${sid}`)
    await until(() => engine.clients[sid].transport.writable, 'the GET to be parked')
    const reasons = Object.values(engine.clients).map((each) => gather(each, 'close'))
    assert.equal(engine.close(), engine)
    assert.deepEqual(await poll.then(({ status, text }) => [status, text]), [200, '1'])
    await within(socket.ended, 'the end')
    assert.equal(socket.closeCode, 1001)
    await until(() => reasons.every(({ length }) => length === 1), 'closes')
    assert.deepEqual(
      reasons.map(([[reason]]) => reason),
      ['forced close', 'forced close'],
    )
    assert.equal((await fetchText(`${url}/engine.io/?EIO=4&transport=polling`)).status, 503)
    assert.equal(
      (await upgrade(url, { path: '/engine.io/?EIO=4&transport=websocket' })).status,
      503,
    )
    assert.equal((await fetchText(`${url}/other`)).text, 'page /other', 'pages still work')
  })

  test('resets peers that never answer the close frame', async (t) => {
    const server = pages()
    const engine = new Engine({ closeTimeout: 100 })
    engine.attach(server)
    const port = await listen(server)
    t.after(() => shut(server))
    const path = '/engine.io/?EIO=4&transport=websocket'
    const socket = await WebSocket.open(t, port, { path, isDeaf: true })
    const start = performance.now()
    engine.close()
    await within(event(socket.stream, 'close'), 'the connection to be reset', 2000)
    assert.ok(performance.now() - start < 1500)
  })
})

describe('server.close()', () => {
  test('does not wait for a connection that a browser has opened in advance', async (t) => {
    const server = pages()
    attach(server)
    const port = await listen(server)
    const unused = net.connect(port, '127.0.0.1')
    t.after(() => unused.destroy())
    await event(server, 'connection')
    await within(new Promise((resolve) => server.close(resolve)), 'the callback', EXIT)
  })

  test('answers a connection that has begun its request', async (t) => {
    const server = pages()
    attach(server)
    const port = await listen(server)
    const [begun, unused] = [net.connect(port, '127.0.0.1'), net.connect(port, '127.0.0.1')]
    t.after(() => begun.destroy())
    begun.write('GET /late HTTP/1.1\r\n')
    for (const near of [begun, unused]) await event(near, 'connect')
    await until(async () => (await connectionsOf(server)) === 2, 'both connections to be accepted')
    const closed = new Promise((resolve) => server.close(resolve))
    await event(unused, 'close')
    begun.write('Host: x\r\nConnection: close\r\n\r\n')
    const [answer] = await event(begun, 'data')
    assert.match(String(answer), /page \/late/)
    await within(closed, 'the callback', EXIT)
  })

  test('calls back soon with live WebSockets and parked polls, and clients come back to the next server', async (t) => {
    const server = pages()
    const io = attach(server)
    const port = await listen(server)
    const url = `http://127.0.0.1:${port}`
    const reasons = []
    io.on('connection', (socket) => socket.on('disconnect', (reason) => reasons.push(reason)))
    const clients = []
    for (const { transports, settles } of TRANSPORTS) {
      const near = client(t, url, {
        transports,
        reconnection: true,
        reconnectionDelay: 20,
        reconnectionDelayMax: 50,
      })
      await connected(near)
      await settled(near, settles)
      clients.push(near)
    }
    const raw = await WebSocket.open(t, port)
    await quiet(io.engine)
    const nearReasons = clients.map((near) => event(near, 'disconnect'))
    const start = performance.now()
    let reasonsAtCallback
    await within(
      new Promise((resolve) =>
        server.close(() => {
          reasonsAtCallback = [...reasons]
          resolve()
        }),
      ),
      'the callback of server.close()',
    )
    const took = performance.now() - start
    assert.ok(took < SOON, `${took} ms`)
    assert.deepEqual(reasonsAtCallback, Array(clients.length).fill('server shutting down'))
    for (const reason of nearReasons) assert.equal((await reason)[0], 'transport close')
    await within(raw.ended, 'the end of the WebSocket')
    assert.equal(raw.closeCode, 1001)
    // A new server on the same port.
    const next = pages()
    const nextIo = attach(next)
    t.after(() => nextIo.close())
    await listen(next, port)
    for (const near of clients) await connected(near)
    for (const near of clients) near.close()
  })

  test('lets the same server listen and serve again', async (t) => {
    const server = pages()
    const io = attach(server)
    t.after(() => io.close())
    for (let round = 0; round < 3; round++) {
      const url = `http://127.0.0.1:${await listen(server)}`
      const { near, far } = await pair(t, { io, url }, { transports: TRANSPORTS[round].transports })
      far.on('echo', (value, ack) => ack(value))
      assert.equal(await near.timeout(5000).emitWithAck('echo', round), round)
      const gone = event(far, 'disconnect')
      await within(new Promise((resolve) => server.close(resolve)), 'the callback')
      assert.equal((await gone)[0], 'server shutting down')
    }
  })

  test('keeps Node’s own rules: not running, return value, dispose', async (t) => {
    const server = pages()
    const io = attach(server)
    t.after(() => io.close())
    const notRunning = new Promise((resolve) => server.close(resolve))
    assert.equal((await notRunning)?.code, 'ERR_SERVER_NOT_RUNNING')
    const url = `http://127.0.0.1:${await listen(server)}`
    const near = await connect(t, url, { transports: ['websocket'] })
    const gone = event(near, 'disconnect')
    if (server[Symbol.asyncDispose] !== undefined) {
      await within(server[Symbol.asyncDispose](), 'asyncDispose')
    } else {
      assert.equal(server.close(), server)
    }
    assert.equal((await gone)[0], 'transport close')
    await until(() => !server.listening, 'the end')
  })

  test('is not stopped by what a disconnect handler emits or calls', async (t) => {
    const server = pages()
    const io = attach(server)
    const url = `http://127.0.0.1:${await listen(server)}`
    io.on('connection', (socket) => {
      socket.on('disconnect', () => {
        socket.emit('too', 'late')
        io.emit('bye', 'all')
        socket.disconnect(true)
      })
    })
    const clients = await allKinds(t, url)
    await quiet(io.engine)
    const gone = clients.map((near) => event(near, 'disconnect'))
    await within(new Promise((resolve) => server.close(resolve)), 'the callback')
    await Promise.all(gone)
  })
})

describe('a process', () => {
  test('that attaches and closes without listening ends by itself', async (t) => {
    const child = start(t, programs, 'unused')
    await child.message('closed')
    assert.deepEqual(await child.end(EXIT), { code: 0, signal: null })
  })

  test('that only attaches ends by itself', async (t) => {
    const child = start(t, programs, 'forgotten')
    assert.deepEqual(await child.end(EXIT), { code: 0, signal: null })
  })

  for (const how of ['io', 'server', 'engine']) {
    test(`ends by itself after ${how}.close() with clients of all kinds`, async (t) => {
      const child = start(t, programs, 'closing', { how })
      const url = `http://127.0.0.1:${await child.message('port')}`
      const clients = await allKinds(t, url)
      const gone = clients.map((near) => event(near, 'disconnect'))
      const closing = performance.now()
      child.send('close')
      const took = await child.message('closed')
      assert.deepEqual(await child.end(EXIT), { code: 0, signal: null })
      const whole = performance.now() - closing
      t.diagnostic(`callback after ${took.toFixed(0)} ms, end after ${whole.toFixed(0)} ms`)
      assert.ok(took < 1000, `called back after ${took} ms`)
      await Promise.all(gone)
      assert.equal(child.stderr, '')
    })
  }

  test('closes and notifies all clients although each disconnect handler throws', async (t) => {
    const child = start(t, programs, 'failingAtEnd')
    const url = `http://127.0.0.1:${await child.message('port')}`
    const paths = ['/one', '/two']
    const gone = []
    for (const path of paths) {
      for (const { transports } of TRANSPORTS) {
        const near = await connect(t, url, { path, transports })
        gone.push(event(near, 'disconnect'))
      }
    }
    child.send('close')
    assert.equal(await child.message('closed'), false)
    for (const reason of gone) assert.equal((await reason)[0], 'transport close')
    const caught = []
    while (caught.length < gone.length) caught.push(await child.message('caught'))
    const expected = paths.flatMap((path) => TRANSPORTS.map(() => `${path} server shutting down`))
    assert.deepEqual(caught, expected)
    child.send('end')
    assert.deepEqual(await child.end(EXIT), { code: 0, signal: null })
  })

  test('ends within 5 s of io.close() with peers that neither read nor answer', async (t) => {
    const child = start(t, programs, 'closing', { how: 'io' })
    const port = await child.message('port')
    for (let n = 0; n < 5; n++) {
      const socket = await WebSocket.open(t, port, { isDeaf: true })
      socket.stream.pause()
    }
    const { sid } = await openPolling(`http://127.0.0.1:${port}`)
    const deaf = net.connect(port, '127.0.0.1')
    t.after(() => deaf.destroy())
    deaf.on('error', () => {})
    deaf.write(`GET /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: test\r\n\r\n`)
    child.send('close')
    assert.deepEqual(await child.end(5000), { code: 0, signal: null })
  })

  for (const isDeaf of [false, true]) {
    const peers = isDeaf ? 'neither read nor answer' : 'answer'
    test(`ends soon after server.close() with 1,000 WebSockets that ${peers}`, async (t) => {
      const child = start(t, programs, 'closing', { how: 'server' })
      const port = await child.message('port')
      const sockets = []
      while (sockets.length < 1000) {
        const batch = Array.from({ length: 100 }, () => WebSocket.open(t, port, { isDeaf }))
        sockets.push(...(await Promise.all(batch)))
      }
      if (isDeaf) for (const { stream } of sockets) stream.pause()
      const begun = performance.now()
      child.send('close')
      const took = await child.message('closed')
      assert.ok(took < 1000, `called back after ${took} ms`)
      assert.deepEqual(await child.end(5000), { code: 0, signal: null })
      t.diagnostic(`callback after ${took.toFixed(0)} ms, end ${performance.now() - begun}`)
      if (isDeaf) return
      await Promise.all(sockets.map(({ ended }) => within(ended, 'its end')))
      for (const { closeCode } of sockets) assert.equal(closeCode, 1001)
    })
  }

  test('ends within 5 s of io.close() while allowRequest never answers', async (t) => {
    const child = start(t, programs, 'closing', { how: 'io', answers: false })
    const port = await child.message('port')
    for (const transport of ['polling', 'websocket']) {
      const raw = net.connect(port, '127.0.0.1')
      t.after(() => raw.destroy())
      raw.on('error', () => {})
      raw.resume()
      raw.write(handshakeText(transport))
      await child.message('asked')
    }
    child.send('close')
    assert.deepEqual(await child.end(5000), { code: 0, signal: null })
  })

  test('ends soon after SIGTERM when its handler closes the server, as Next.js’s does', async (t) => {
    const child = start(t, programs, 'terminating')
    const port = await child.message('port')
    const clients = await allKinds(t, `http://127.0.0.1:${port}`)
    const raw = await WebSocket.open(t, port)
    const gone = clients.map((near) => event(near, 'disconnect'))
    const begun = performance.now()
    child.signal('SIGTERM')
    assert.deepEqual(await child.end(), { code: 0, signal: null })
    const took = performance.now() - begun
    t.diagnostic(`${took.toFixed(0)} ms`)
    assert.ok(took < EXIT, `${took} ms`)
    // The close frames were written before the process ended.
    await within(raw.ended, 'the end of the WebSocket')
    assert.equal(raw.closeCode, 1001)
    for (const reason of gone) assert.match((await reason)[0], /transport (close|error)/)
  })

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`without a handler dies of ${signal} at once`, async (t) => {
      const child = start(t, programs, 'mortal')
      const url = `http://127.0.0.1:${await child.message('port')}`
      await connect(t, url, { transports: ['websocket'] })
      child.signal(signal)
      assert.deepEqual(await child.end(1000), { code: null, signal })
    })
  }

  for (const where of ['engine connection', 'middleware', 'connection', 'message', 'close']) {
    test(`that exits in ${where} keeps its exit code`, async (t) => {
      const child = start(t, programs, 'exiting', { where })
      const url = `http://127.0.0.1:${await child.message('port')}`
      for (const transports of [['websocket'], ['polling']]) {
        const near = client(t, url, { transports })
        near.on('connect', () => {
          near.emit('go')
          if (where === 'close') near.close()
        })
        if (where === 'engine connection' || transports[0] === 'websocket') break
      }
      assert.deepEqual(await child.end(), { code: 7, signal: null })
      assert.equal(child.stderr, '')
    })
  }

  test('stays alive for an open session of an unreferenced server, and ends with it', async (t) => {
    const child = start(t, programs, 'unreferenced')
    const near = engineClient(t, `http://127.0.0.1:${await child.message('port')}`, {
      path: '/socket.io/',
      transports: ['websocket'],
    })
    await event(near, 'open')
    near.send('0')
    await child.message('connected')
    const early = await Promise.race([child.ended, event(near, 'ping', 300).catch(() => 'alive')])
    assert.equal(early, 'alive')
    near.close()
    assert.deepEqual(await child.end(), { code: 0, signal: null })
  })
})
