// Connections without a descriptor: they go through the JavaScript stream and behave the same. Also
// connections with unusual descriptors, and early bytes.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import tls from 'node:tls'
import { attach, Engine } from 'upwire'
import { cert, key } from '../support/certificate.mjs'
import { TRANSPORTS, connect, engineClient, pair, settled } from '../support/clients.mjs'
import { front } from '../support/duplex.mjs'
import { event, gather, turns, until, within } from '../support/events.mjs'
import { OP, frame, text } from '../support/frames.mjs'
import { handshakeText, openPolling } from '../support/http.mjs'
import { listen, pages, serveEngine, shut, track } from '../support/servers.mjs'
import { WebSocket } from '../support/websocket.mjs'

const tlsOptions = { rejectUnauthorized: false }

/** A server that never listens: each connection is handed to it as a Duplex. */
async function bridged(t, opts) {
  const server = pages()
  const io = attach(server, opts)
  const { port, url, bridges } = await front(t, server)
  t.after(() => io.engine.close())
  return { server, io, engine: io.engine, port, url, bridges, options: {} }
}

const ENGINE = '/engine.io/?EIO=4&transport=websocket'

/** Engine.IO alone on such a server. */
async function bridgedEngine(t, opts) {
  const server = pages()
  const engine = new Engine(opts)
  engine.attach(server)
  const { port, url } = await front(t, server)
  t.after(() => engine.close())
  return { server, engine, port, url }
}

async function secure(t, opts) {
  const server = https.createServer({ key, cert }, (req, res) => res.end(`page ${req.url}`))
  const io = attach(server, opts)
  track(server)
  const port = await listen(server)
  t.after(async () => {
    io.engine.close()
    await shut(server)
  })
  return {
    server,
    io,
    engine: io.engine,
    port,
    url: `https://localhost:${port}`,
    options: tlsOptions,
  }
}

const kinds = { 'a Duplex': bridged, https: secure }

for (const [kind, make] of Object.entries(kinds)) {
  describe(`over ${kind}`, () => {
    for (const { transports, settles } of TRANSPORTS) {
      test(`${JSON.stringify(transports)}: echoes every size in order, and closes from both ends`, async (t) => {
        const served = await make(t)
        const { near, far } = await pair(t, served, { transports, ...served.options })
        await settled(near, settles)
        assert.match(far.handshake.address, /127\.0\.0\.1$|^::1$/)
        assert.equal(far.handshake.secure, kind === 'https')
        far.on('echo', (...args) => args.pop()(...args))
        for (const size of [
          0,
          1,
          125,
          126,
          65_535,
          65_536,
          ...(settles === 'websocket' ? [900_000] : []),
        ]) {
          const sent = Buffer.alloc(size, size & 255)
          const got = await near.timeout(5000).emitWithAck('echo', sent)
          assert.ok(sent.equals(got), `${size} bytes`)
        }
        const count = 500
        const atServer = gather(far, 'n')
        const atClient = gather(near, 'n')
        for (let n = 0; n < count; n++) {
          near.emit('n', n)
          far.emit('n', n)
        }
        await until(() => atServer.length === count && atClient.length === count, 'all messages')
        for (const got of [atServer, atClient])
          assert.deepEqual(
            got.flat(),
            Array.from({ length: count }, (_, n) => n),
          )
        const gone = event(far, 'disconnect')
        near.io.engine.close()
        assert.equal((await gone)[0], 'transport close')
        const second = await pair(t, served, { transports, ...served.options })
        await settled(second.near, settles)
        const nearGone = event(second.near, 'disconnect')
        second.far.conn.close()
        assert.equal((await nearGone)[0], 'transport close')
        await until(() => served.engine.clientsCount === 0, 'no clients')
      })
    }

    test('volatile messages follow the same rules', async (t) => {
      const served = await make(t)
      const { near, far } = await pair(t, served, { transports: ['websocket'], ...served.options })
      const got = gather(near, 'ev')
      await until(() => far.conn.transport.writable, 'an idle connection')
      far.volatile.emit('ev', 1)
      far.volatile.emit('ev', 2)
      far.emit('ev', 'end')
      await until(() => got.length === 2, 'the messages')
      assert.deepEqual(got, [[1], ['end']])
    })

    test('a peer that does not read is closed at maxSendBuffer', async (t) => {
      const served = await make(t, { maxSendBuffer: 500_000 })
      const near = await connect(t, served.url, { transports: ['websocket'], ...served.options })
      const [far] = await served.io
        .fetchSockets()
        .then(() => [...served.io.sockets.sockets.values()])
      near.io.engine.transport.ws._socket.pause()
      const closes = gather(far.conn, 'close')
      const big = 'x'.repeat(200_000)
      let sent = 0
      await until(
        () => {
          if (closes.length > 0) return true
          far.emit('big', big)
          sent++
          return false
        },
        'the slow peer to be closed',
        10_000,
      )
      assert.equal(closes[0][0], 'transport error')
      assert.equal(closes[0][1].code, 'ERR_UPWIRE_SLOW_CONSUMER')
      assert.ok(sent * 200_000 < 60_000_000, `${sent} messages`)
      near.io.engine.transport.ws._socket.resume()
    })

    test('a peer that reads slowly gets everything, in order', async (t) => {
      const served = await make(t)
      const near = await connect(t, served.url, { transports: ['websocket'], ...served.options })
      const [far] = served.io.sockets.sockets.values()
      const stream = near.io.engine.transport.ws._socket
      const got = gather(near, 'n')
      stream.pause()
      const count = 60
      for (let n = 0; n < count; n++) far.emit('n', n, Buffer.alloc(100_000, n))
      await until(() => far.conn.transport.socket.bufferedAmount > 0, 'waiting bytes')
      stream.resume()
      await until(() => got.length === count, 'all messages', 10_000)
      got.forEach(([n, bytes], index) => {
        assert.equal(n, index)
        assert.ok(bytes.length === 100_000 && bytes[0] === index && bytes[99_999] === index)
      })
      await until(() => far.conn.transport.socket.bufferedAmount === 0, 'an empty queue')
    })

    test('closing sends the peer 1001 and ends the connection', async (t) => {
      const served = await make(t)
      const stream =
        kind === 'https'
          ? tls.connect(served.port, '127.0.0.1', tlsOptions)
          : net.connect(served.port, '127.0.0.1')
      t.after(() => stream.destroy())
      const socket = new WebSocket(stream)
      stream.write(handshakeText('websocket'))
      await within(socket.opened, 'the WebSocket')
      assert.equal((await socket.message()).text[0], '0')
      served.engine.close()
      await within(socket.ended, 'the end')
      assert.equal(socket.closeCode, 1001)
    })

    test('the end of a peer is noticed', async (t) => {
      const served = await make(t)
      for (const leave of ['terminate', 'close']) {
        const near = engineClient(t, served.url, {
          path: '/socket.io/',
          transports: ['websocket'],
          ...served.options,
        })
        const [far] = await event(served.engine, 'connection')
        await event(near, 'open')
        const gone = event(far, 'close')
        near.transport.ws[leave]()
        assert.match((await gone)[0], /transport (close|error)/)
      }
      await until(() => served.engine.clientsCount === 0, 'no clients')
    })
  })
}

describe('a Duplex', () => {
  test('that the server destroys is a lost transport', async (t) => {
    const served = await bridged(t)
    const { near, far } = await pair(t, served, { transports: ['websocket'] })
    const gone = event(far, 'disconnect')
    const nearGone = event(near, 'disconnect')
    served.bridges[0].destroy()
    assert.match((await gone)[0], /transport (close|error)/)
    await nearGone
    served.bridges.length = 0
    const again = await pair(t, served, { transports: ['websocket'] })
    const failed = event(again.far, 'disconnect')
    served.bridges[0].destroy(new Error('broken'))
    assert.match((await failed)[0], /transport (close|error)/)
    await pair(t, served, { transports: ['websocket'] })
  })

  test('is closed when its session is', async (t) => {
    const served = await bridged(t)
    const { far } = await pair(t, served, { transports: ['websocket'] })
    const [bridge] = served.bridges
    far.conn.close()
    await until(() => bridge.destroyed, 'the Duplex to be closed')
  })

  test('is paused while JavaScript cannot take more, and nothing is lost', async (t) => {
    const served = await bridgedEngine(t, { maxReceiveQueue: 100_000, maxHttpBufferSize: 50_000 })
    const arrival = event(served.engine, 'connection')
    const socket = await WebSocket.open(t, served.port, { path: ENGINE })
    const [far] = await arrival
    const got = []
    far.on('data', (data) => {
      got.push(Number.parseInt(data, 10))
      // Each message takes time, so that the following ones wait.
      const end = performance.now() + 0.3
      while (performance.now() < end);
    })
    const limits = gather(served.engine, 'limit')
    const count = 1000
    const filling = 'x'.repeat(2000)
    for (let n = 0; n < count; n++) socket.send(`4${n} ${filling}`)
    await until(() => got.length === count, 'all messages', 10_000)
    assert.deepEqual(
      got,
      Array.from({ length: count }, (_, n) => n),
    )
    assert.ok(
      limits.some(([{ name, action }]) => name === 'maxReceiveQueue' && action === 'paused'),
    )
  })
})

describe('early bytes', () => {
  const early = Buffer.concat([text('4first'), text('4second'), frame(OP.BINARY, 'third')])

  for (const [kind, make] of Object.entries({ TCP: serveEngine, 'a Duplex': bridgedEngine })) {
    test(`frames in the segment of the request are processed, over ${kind}`, async (t) => {
      const served = await make(t)
      const got = []
      served.engine.on('connection', (socket) =>
        socket.on('data', (data) => got.push(String(data))),
      )
      const socket = await WebSocket.open(t, served.port, { path: ENGINE, early })
      assert.equal((await socket.message()).text[0], '0')
      await until(() => got.length === 3, 'all messages')
      assert.deepEqual(got, ['first', 'second', 'third'])
      socket.close()
    })

    test(`frames that come while allowRequest decides are processed, over ${kind}`, async (t) => {
      const asked = []
      const served = await make(t, { allowRequest: (_req, decide) => asked.push(decide) })
      const got = []
      served.engine.on('connection', (socket) =>
        socket.on('data', (data) => got.push(String(data))),
      )
      const stream = net.connect(served.port, '127.0.0.1')
      t.after(() => stream.destroy())
      const socket = new WebSocket(stream)
      stream.write(handshakeText('websocket', { path: '/engine.io/' }))
      await until(() => asked.length === 1, 'a call of allowRequest')
      stream.write(early.subarray(0, 10))
      await turns(3)
      stream.write(early.subarray(10))
      await turns(3)
      asked[0](null, true)
      await within(socket.opened, 'the WebSocket')
      await until(() => got.length === 3, 'all messages')
      assert.deepEqual(got, ['first', 'second', 'third'])
      socket.close()
    })
  }
})

describe('other servers', () => {
  test('a server on a Unix socket serves clients', async (t) => {
    const server = pages()
    const io = attach(server)
    const path = join(tmpdir(), `upwire-${process.pid}.sock`)
    await new Promise((resolve) => server.listen(path, resolve))
    t.after(async () => {
      io.engine.close()
      await shut(server)
    })
    io.on('connection', (socket) => socket.on('echo', (value, ack) => ack(value)))
    const stream = net.connect(path)
    t.after(() => stream.destroy())
    const socket = new WebSocket(stream)
    stream.write(handshakeText('websocket'))
    await within(socket.opened, 'the WebSocket')
    assert.equal((await socket.message()).text[0], '0')
    socket.send('40')
    assert.match((await socket.message()).text, /^40/)
    socket.send('420["echo","over a Unix socket"]')
    assert.equal((await socket.message()).text, '430["over a Unix socket"]')
    socket.close()
    await until(() => io.engine.clientsCount === 0, 'no clients')
  })

  test('a server on IPv6 serves clients', async (t) => {
    const server = pages()
    const io = attach(server)
    let port
    try {
      port = await listen(server, 0, '::1')
    } catch (error) {
      return t.skip(`no IPv6 here: ${error.code}`)
    }
    t.after(async () => {
      io.engine.close()
      await shut(server)
    })
    for (const { transports } of TRANSPORTS) {
      const { near, far } = await pair(t, { io, url: `http://[::1]:${port}` }, { transports })
      assert.equal(far.handshake.address, '::1')
      near.close()
    }
  })

  test('an HTTP/2 server with HTTP/1 allowed serves polling over the one and WebSocket over the other', async (t) => {
    const server = http2.createSecureServer({ key, cert, allowHTTP1: true }, (req, res) =>
      res.end(`page ${req.url}`),
    )
    const io = attach(server)
    track(server)
    const port = await listen(server)
    const session = http2.connect(`https://localhost:${port}`, tlsOptions)
    session.on('error', () => {})
    t.after(async () => {
      session.destroy()
      io.engine.close()
      await shut(server)
    })
    const ask = (headers, body) =>
      within(
        new Promise((resolve, reject) => {
          const stream = session.request(headers)
          let status
          let text = ''
          stream.setEncoding('utf8')
          stream.on('response', (head) => (status = head[':status']))
          stream.on('data', (chunk) => (text += chunk))
          stream.on('end', () => resolve({ status, text }))
          stream.on('error', reject)
          stream.end(body)
        }),
        'an answer over HTTP/2',
      )
    const path = '/socket.io/?EIO=4&transport=polling'
    const open = await ask({ ':path': path })
    assert.equal(open.status, 200)
    const { sid } = JSON.parse(open.text.slice(1))
    const post = await ask({ ':path': `${path}&sid=${sid}`, ':method': 'POST' }, '40')
    assert.deepEqual(post, { status: 200, text: 'ok' })
    assert.match((await ask({ ':path': `${path}&sid=${sid}` })).text, /^40/)
    assert.equal((await ask({ ':path': '/socket.io/?EIO=4&transport=pigeon' })).status, 400)
    assert.equal((await ask({ ':path': '/page' })).text, 'page /page')
    for (const { transports, settles } of TRANSPORTS) {
      const near = await connect(t, `https://localhost:${port}`, { transports, ...tlsOptions })
      await settled(near, settles)
      near.close()
    }
  })

  test('a server fed by a net.Server serves clients', async (t) => {
    const server = createServer()
    const io = attach(server)
    const tcp = net.createServer((socket) => server.emit('connection', socket))
    const port = await listen(tcp)
    t.after(() => {
      io.engine.close()
      tcp.close()
    })
    for (const { transports, settles } of TRANSPORTS) {
      const { near, far } = await pair(t, { io, url: `http://127.0.0.1:${port}` }, { transports })
      await settled(near, settles)
      const gone = event(far, 'disconnect')
      near.close()
      await gone
    }
    const { sid } = await openPolling(`http://127.0.0.1:${port}`)
    assert.equal(io.engine.clients[sid].transport.name, 'polling')
    await until(() => io.engine.clientsCount === 1, 'the last session')
  })
})
