// permessage-deflate with real clients: ws, engine.io-client and socket.io-client.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { describe, test } from 'node:test'
import { io as connect } from 'socket.io-client'
import { WebSocket } from 'ws'
import { Engine, attach } from '../../index.js'
import { cert, key } from '../support/certificate.mjs'
import { event, until } from '../support/events.mjs'
import { listen } from '../support/ports.mjs'

/** Messages of all sizes that can be compressed, and noise. */
const messages = [
  '',
  'short',
  'words, '.repeat(10),
  'Größe und Maß, '.repeat(400),
  JSON.stringify(Array.from({ length: 3000 }, (_, id) => ({ id, name: `n${id % 17}` }))),
  Buffer.alloc(0),
  Buffer.alloc(300_000, 7),
  randomBytes(1_000),
  randomBytes(200_000),
]

const forms = {
  defaults: true,
  'context takeover': { serverNoContextTakeover: false, clientNoContextTakeover: false },
  'context takeover of the server': { serverNoContextTakeover: false, threshold: 0 },
  'context takeover of the client': { clientNoContextTakeover: false, threshold: 10 },
  'small windows': { serverMaxWindowBits: 9, clientMaxWindowBits: 9, threshold: 0 },
  'small windows and context takeover': {
    serverMaxWindowBits: 10,
    clientMaxWindowBits: 10,
    serverNoContextTakeover: false,
    clientNoContextTakeover: false,
    threshold: 0,
  },
  'level 1, memLevel 1': { zlibDeflateOptions: { level: 1, memLevel: 1 } },
  'level 9, memLevel 9': { zlibDeflateOptions: { level: 9, memLevel: 9 } },
  'no compression': { zlibDeflateOptions: { level: 0 }, threshold: 0 },
  'Huffman codes alone': { zlibDeflateOptions: { strategy: 2 } },
}

/** Starts an engine that echoes. */
async function echoServer(t, perMessageDeflate, server = createServer()) {
  const engine = Engine.attach(server, { perMessageDeflate })
  engine.on('connection', (socket) => socket.on('data', (data) => socket.send(data ?? '')))
  const port = await listen(server)
  t.after(() => server.close())
  return { engine, port }
}

describe('ws', () => {
  for (const [name, perMessageDeflate] of Object.entries(forms)) {
    test(`${name}: every message comes back unchanged`, { timeout: 30_000 }, async (t) => {
      await proveEcho(t, 'ws', await echoServer(t, perMessageDeflate))
    })
  }

  test('over TLS, where a JavaScript stream carries the bytes', { timeout: 30_000 }, async (t) => {
    const server = createSecureServer({ cert, key })
    await proveEcho(t, 'wss', await echoServer(t, forms['context takeover'], server))
  })
})

/** Sends every message three times, texts in two fragments, and compares the echoes. */
async function proveEcho(t, scheme, { port }) {
  const url = `${scheme}://127.0.0.1:${port}/engine.io/?EIO=4&transport=websocket`
  const client = new WebSocket(url, { perMessageDeflate: { threshold: 0 }, ca: cert })
  t.after(() => client.terminate())
  const received = []
  client.on('message', (data, isBinary) => received.push(isBinary ? data : data.toString()))
  await event(client, 'open')
  assert.equal(client.extensions, 'permessage-deflate')
  const sent = [...messages, ...messages, ...messages.toReversed()]
  for (const message of sent) {
    if (typeof message !== 'string') {
      client.send(message)
    } else {
      const text = `4${message}`
      client.send(text.slice(0, 3), { fin: false })
      client.send(text.slice(3), { fin: true })
    }
  }
  await until(() => received.length > sent.length, 'all echoes')
  const expected = sent.map((message) => (typeof message === 'string' ? `4${message}` : message))
  assert.deepEqual(received.slice(1), expected)
  client.close()
  await event(client, 'close')
}

describe('socket.io', () => {
  /** Starts a server; returns it with clients that have the extension, and with one that has not. */
  async function start(t, options) {
    const server = createServer()
    const io = attach(server, options)
    const port = await listen(server)
    t.after(() => io.close())
    const open = async (perMessageDeflate) => {
      const client = connect(`http://127.0.0.1:${port}`, {
        transports: ['websocket'],
        perMessageDeflate,
        forceNew: true,
      })
      t.after(() => client.close())
      await event(client, 'connect')
      return client
    }
    return { io, clients: [await open(true), await open(true), await open(false)] }
  }

  test('broadcasts reach clients with and without the extension', {
    timeout: 30_000,
  }, async (t) => {
    for (const takeover of [true, false]) {
      const perMessageDeflate = {
        serverNoContextTakeover: !takeover,
        clientNoContextTakeover: !takeover,
      }
      const { io, clients } = await start(t, { perMessageDeflate })
      const received = clients.map(() => [])
      clients.forEach((client, index) => {
        client.on('news', (...news) => received[index].push(news))
      })
      const long = 'to all '.repeat(1000)
      const binary = Buffer.alloc(5000, 3)
      for (let count = 0; count < 3; count++) {
        io.emit('news', 'short')
        io.emit('news', long, binary)
        io.compress(false).emit('news', long)
        for (const socket of io.of('/').sockets.values()) socket.emit('news', long, count)
      }
      const expected = [0, 1, 2].flatMap((n) => [['short'], [long, binary], [long], [long, n]])
      await until(
        () => received.every(({ length }) => length === expected.length),
        () => `all events, got ${received.map(({ length }) => length)}`,
      )
      for (const each of received) assert.deepEqual(each, expected)
    }
  })

  test('a frame that socket.io has encoded is not used', { timeout: 30_000 }, async (t) => {
    const { io, clients } = await start(t, { perMessageDeflate: true })
    const news = clients.map((client) => event(client, 'news'))
    const wrong = Buffer.from('\x81\x0c42["wrong",1]', 'latin1')
    for (const socket of io.of('/').sockets.values()) {
      socket.conn.write('2["news",1]', { preEncoded: true, wsPreEncodedFrame: [wrong] })
    }
    assert.deepEqual(await Promise.all(news), [[1], [1], [1]])
  })
})
