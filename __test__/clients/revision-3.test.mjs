// The clients of Socket.IO 2 and of Engine.IO 3, beside those of today.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import { Engine } from 'upwire'
import { TRANSPORTS, connect, settled } from '../support/clients.mjs'
import { event, gather, until, within } from '../support/events.mjs'
import { listen, pages, serve, shut } from '../support/servers.mjs'

const require = createRequire(import.meta.url)
const io2 = require('socket.io-client-2')
const eio3 = require('engine.io-client-3')

const OPTIONS = { allowEIO3: true }
const BYTES = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 256))
const TEXTS = [
  '',
  'plain',
  'Gr\u00fc\u00dfe',
  '\u65e5\u672c',
  '\u{1f389}',
  'x'.repeat(70_000),
  '1:2',
  'b4AQ==',
]

/** A client of Socket.IO 2, closed when its test ends. */
function client2(t, url, opts = {}) {
  const socket = io2(url, { forceNew: true, reconnection: false, ...opts })
  t.after(() => socket.close())
  return socket
}

async function connected2(socket) {
  const connection = new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    for (const name of ['connect_error', 'error']) socket.once(name, reject)
  })
  await within(connection, 'a client to connect')
  return socket
}

const connect2 = (t, url, opts) => connected2(client2(t, url, opts))

/** Calls an event with an acknowledgement. */
function ask(socket, ...args) {
  return within(
    new Promise((resolve) => socket.emit(...args, (...back) => resolve(back))),
    'an ack',
  )
}

function echo(io) {
  io.on('connection', (socket) => socket.on('echo', (...args) => args.pop()(...args)))
}

for (const { transports, settles } of TRANSPORTS.filter(({ transports: [first, second] }) => {
  // This client does not fall back from WebSocket to polling.
  return first === 'polling' || second === undefined
})) {
  describe(`socket.io-client 2 over ${JSON.stringify(transports)}`, () => {
    test('text and binary arrive unchanged, with acknowledgements in both directions', async (t) => {
      const { io, url } = await serve(t, OPTIONS)
      echo(io)
      const arrival = event(io, 'connection')
      const near = await connect2(t, url, { transports })
      const [far] = await arrival
      near.on('echo', (...args) => args.pop()(...args))
      assert.equal(far.conn.protocol, 3)
      assert.equal(far.id, near.id)
      await settled(near, settles)
      for (const text of TEXTS) {
        const values = [text, { text, list: [1, null] }]
        assert.deepEqual(await ask(near, 'echo', ...values), values)
        assert.deepEqual(await ask(far, 'echo', ...values), values)
      }
      for (const bytes of [Buffer.alloc(0), Buffer.from([4]), BYTES]) {
        const values = [bytes, { deep: [bytes], text: 'beside' }]
        assert.deepEqual(await ask(near, 'echo', ...values), values)
        assert.deepEqual(await ask(far, 'echo', ...values), values)
      }
      await until(() => far.conn.transport.name === settles, `transport ${settles}`)
    })

    test('heartbeats keep the connection, and without them it ends on both sides', async (t) => {
      const { io, url } = await serve(t, { ...OPTIONS, pingInterval: 100, pingTimeout: 150 })
      const arrival = event(io, 'connection')
      const near = await connect2(t, url, { transports })
      const [far] = await arrival
      const beats = gather(far.conn, 'heartbeat')
      const pongs = gather(near, 'pong')
      await until(() => beats.length >= 4 && pongs.length >= 4, 'four heartbeats')
      const end = event(far, 'disconnect')
      // The client neither sends pings nor misses pongs any more.
      const { engine } = near.io
      engine.ping = () => {}
      engine.onHeartbeat = () => {}
      engine.removeAllListeners('heartbeat')
      clearTimeout(engine.pingTimeoutTimer)
      assert.equal((await end)[0], 'ping timeout')
    })

    test('a disconnect is seen by the other side', async (t) => {
      const { io, url } = await serve(t, OPTIONS)
      const pair = async () => {
        const arrival = event(io, 'connection')
        const near = await connect2(t, url, { transports })
        const [far] = await arrival
        await settled(near, settles)
        return { near, far }
      }
      const first = await pair()
      const left = event(first.far, 'disconnect')
      first.near.disconnect()
      assert.equal((await left)[0], 'client namespace disconnect')
      const second = await pair()
      const ended = event(second.near, 'disconnect')
      second.far.disconnect(true)
      assert.equal((await ended)[0], 'io server disconnect')
      const third = await pair()
      const cut = event(third.near, 'disconnect')
      third.far.conn.close()
      assert.equal((await cut)[0], 'transport close')
    })

    test('it connects again, and finds its session anew', async (t) => {
      const { io, url } = await serve(t, OPTIONS)
      echo(io)
      const near = await connect2(t, url, { transports, reconnection: true, reconnectionDelay: 10 })
      const before = near.id
      const again = event(near, 'reconnect')
      const [far] = io.of('/').sockets.values()
      far.conn.close(true)
      await again
      await until(() => near.connected && near.id !== before, 'a new id')
      assert.deepEqual(await ask(near, 'echo', 'back'), ['back'])
    })

    test('rooms reach clients of both generations in order, text and binary', async (t) => {
      const { io, url } = await serve(t, OPTIONS)
      io.on('connection', (socket) => socket.join('room'))
      const clients = [
        await connect2(t, url, { transports }),
        await connect2(t, url, { transports: ['polling'] }),
        await connect2(t, url, { transports: ['websocket'] }),
        await connect(t, url, { transports }),
        await connect(t, url, { transports: ['polling'] }),
        await connect(t, url, { transports: ['websocket'] }),
        await connect(t, url, { transports: ['websocket'], query: { b64: 1 } }),
        await connect2(t, url, { transports: ['websocket'], forceBase64: true }),
      ]
      const got = clients.map((each) => gather(each, 'news'))
      const sent = []
      for (let number = 0; number < 20; number++) {
        const values =
          number % 2 === 0 ? [number, TEXTS[number % 8]] : [number, BYTES, Buffer.from([number])]
        sent.push(values)
        io.to('room').emit('news', ...values)
      }
      for (const each of got) {
        await until(() => each.length === sent.length, 'all messages')
        assert.deepEqual(each, sent)
      }
    })
  })
}

describe('socket.io-client 2', () => {
  test('namespaces, their queries and their errors', async (t) => {
    const { io, url } = await serve(t, OPTIONS)
    io.of('/news').on('connection', (socket) => socket.emit('hello', socket.handshake.query.name))
    io.of('/closed').use((_socket, next) => next(new Error('no entry')))
    const news = client2(t, `${url}/news?name=ada`)
    assert.deepEqual(await event(news, 'hello'), ['ada'])
    const closed = client2(t, `${url}/closed`)
    assert.deepEqual(await event(closed, 'error'), ['no entry'])
    const missing = client2(t, `${url}/missing`)
    assert.deepEqual(await event(missing, 'error'), [{ message: 'Invalid namespace' }])
  })

  test('is refused without allowEIO3', async (t) => {
    const { io, url } = await serve(t)
    for (const transports of [['polling'], ['websocket']]) {
      const refusal = event(io.engine, 'connection_error')
      const near = client2(t, url, { transports })
      await event(near, 'connect_error')
      const [{ code, context }] = await refusal
      assert.deepEqual([code, context], [5, { protocol: 3 }])
    }
  })

  test('permessage-deflate works for both generations', async (t) => {
    const { io, url } = await serve(t, { ...OPTIONS, perMessageDeflate: { threshold: 10 } })
    echo(io)
    io.on('connection', (socket) => socket.join('room'))
    const clients = [
      await connect2(t, url, { transports: ['websocket'], perMessageDeflate: { threshold: 10 } }),
      await connect(t, url, { transports: ['websocket'] }),
      await connect2(t, url, { transports: ['websocket'], forceBase64: true }),
    ]
    const got = clients.map((each) => gather(each, 'news'))
    for (const each of clients) assert.deepEqual(await ask(each, 'echo', BYTES, 'x'), [BYTES, 'x'])
    io.to('room').emit('news', BYTES, 'text')
    for (const each of got) {
      await until(() => each.length === 1, 'the broadcast')
      assert.deepEqual(each, [[BYTES, 'text']])
    }
  })
})

for (const { transports, settles } of TRANSPORTS.slice(0, 3)) {
  describe(`engine.io-client 3 over ${JSON.stringify(transports)}`, () => {
    test('messages arrive in order, across the upgrade', async (t) => {
      const server = pages()
      const engine = new Engine(OPTIONS)
      engine.attach(server)
      const port = await listen(server)
      t.after(() => {
        engine.close()
        return shut(server)
      })
      const arrival = event(engine, 'connection')
      const near = eio3(`http://127.0.0.1:${port}`, { transports })
      t.after(() => near.close())
      const [far] = await arrival
      const [sentByNear, sentByFar] = [[], []]
      const gotByFar = gather(far, 'message')
      const gotByNear = gather(near, 'message')
      await event(near, 'open')
      for (let number = 0; number < 200; number++) {
        const data = number % 3 === 0 ? Buffer.from([number, 4]) : `\u20ac${number}`
        near.send(data)
        far.send(data)
        sentByNear.push([data])
        sentByFar.push([data])
        if (number % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await until(() => gotByFar.length === 200 && gotByNear.length === 200, 'all messages')
      assert.deepEqual(gotByFar, sentByNear)
      assert.deepEqual(gotByNear, sentByFar)
      await settled(near, settles)
      const end = event(far, 'close')
      near.close()
      assert.equal((await end)[0], 'transport close')
    })
  })
}
