// What the options `cookie` and `initialPacket` add to the first answer of a session, beside stock.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { createRequire } from 'node:module'
import { describe, test } from 'node:test'
import { Engine } from 'upwire'
import { listen } from '../support/servers.mjs'

const require = createRequire(import.meta.url)
const stock = createRequire(require.resolve('socket.io'))('engine.io')
const engines = {
  upwire: (server, options) => Engine.attach(server, options),
  stock: (server, options) => stock.attach(server, options),
}

async function start(t, attach, options, onEngine = () => {}) {
  const server = createServer()
  const engine = attach(server, options)
  t.after(() => {
    engine.close()
    server.closeAllConnections()
    server.close()
  })
  onEngine(engine)
  return listen(server)
}

/** A polling handshake: its cookies without the id, and its packets after the open packet. */
async function poll(port) {
  const response = await fetch(`http://127.0.0.1:${port}/engine.io/?EIO=4&transport=polling`)
  const [open, ...packets] = (await response.text()).split('\x1e')
  const { sid } = JSON.parse(open.slice(1))
  const cookies = response.headers.getSetCookie().map((each) => each.replace(sid, 'SID'))
  return { cookies, packets, sid }
}

/** A WebSocket's handshake: the cookies of the 101 without the id, and the packets in its first frames. */
async function openWebSocket(t, port, count) {
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
  }
  const path = '/engine.io/?EIO=4&transport=websocket'
  const [response, socket, head] = await once(
    request({ port, host: '127.0.0.1', path, headers }).end(),
    'upgrade',
  )
  t.after(() => socket.destroy())
  let bytes = head
  const packets = []
  while (packets.length < count) {
    const length = bytes[1]
    if (bytes.length < 2 || bytes.length < length + 2) {
      bytes = Buffer.concat([bytes, ...(await once(socket, 'data'))])
      continue
    }
    packets.push(bytes.toString('utf8', 2, length + 2))
    bytes = bytes.subarray(length + 2)
  }
  const { sid } = JSON.parse(packets[0].slice(1))
  const cookies = (response.headers['set-cookie'] ?? []).map((each) => each.replace(sid, 'SID'))
  return { cookies, packets: packets.slice(1) }
}

describe('cookie', () => {
  for (const [given, expected] of [
    [true, 'io=SID; Path=/; HttpOnly; SameSite=Lax'],
    [{ name: 'app' }, 'app=SID; Path=/; HttpOnly; SameSite=Lax'],
    [{ path: false }, 'io=SID; HttpOnly; SameSite=Lax'],
    [
      { httpOnly: false, sameSite: 'strict', maxAge: 60 },
      'io=SID; Max-Age=60; Path=/; SameSite=Strict',
    ],
    [
      { secure: true, domain: 'app.example' },
      'io=SID; Domain=app.example; Path=/; HttpOnly; Secure; SameSite=Lax',
    ],
  ]) {
    test(`${JSON.stringify(given)} is set on polling as in stock, and on the 101`, async (t) => {
      const port = await start(t, engines.upwire, { cookie: given })
      const stockPort = await start(t, engines.stock, { cookie: given })
      assert.deepEqual((await poll(port)).cookies, [expected])
      assert.deepEqual((await poll(stockPort)).cookies, [expected])
      assert.deepEqual((await openWebSocket(t, port, 1)).cookies, [expected])
    })
  }

  test('false sets none, and later answers set none', async (t) => {
    const port = await start(t, engines.upwire, { cookie: false })
    assert.deepEqual((await poll(port)).cookies, [])
    const withCookie = await start(t, engines.upwire, { cookie: true }, (engine) => {
      engine.on('connection', (socket) => socket.send('hello'))
    })
    const { sid } = await poll(withCookie)
    const url = `http://127.0.0.1:${withCookie}/engine.io/?EIO=4&transport=polling&sid=${sid}`
    const later = await fetch(url)
    assert.equal(await later.text(), '4hello')
    assert.deepEqual(later.headers.getSetCookie(), [])
  })

  test('stands beside the cookies of middlewares and of initial_headers', async (t) => {
    const port = await start(t, engines.upwire, { cookie: true }, (engine) => {
      engine.use((_req, res, next) => {
        res.setHeader('Set-Cookie', 'session=1')
        next()
      })
      engine.on('initial_headers', (headers) => {
        headers['Set-Cookie'].push('own=2')
      })
    })
    const wanted = ['session=1', 'io=SID; Path=/; HttpOnly; SameSite=Lax', 'own=2']
    assert.deepEqual((await poll(port)).cookies, wanted)
    assert.deepEqual((await openWebSocket(t, port, 1)).cookies, wanted)
  })
})

describe('initialPacket', () => {
  for (const initialPacket of ['hello', 5, { a: 1 }]) {
    test(`${JSON.stringify(initialPacket)} follows the open packet as in stock`, async (t) => {
      const port = await start(t, engines.upwire, { initialPacket }, (engine) => {
        engine.on('connection', (socket) => socket.send('later'))
      })
      const stockPort = await start(t, engines.stock, { initialPacket })
      const { packets } = await poll(stockPort)
      assert.equal(packets[0], `4${initialPacket}`)
      assert.equal((await poll(port)).packets[0], packets[0])
      const [first, second] = (await openWebSocket(t, port, 3)).packets
      assert.deepEqual([first, second], [packets[0], '4later'])
      assert.equal((await openWebSocket(t, stockPort, 2)).packets[0], packets[0])
    })
  }
})
