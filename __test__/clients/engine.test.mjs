// Engine.IO without Socket.IO: `Engine` and its sockets with engine.io-client.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { EngineSocket } from 'upwire'
import { TRANSPORTS, engineClient, enginePair, settled } from '../support/clients.mjs'
import { event, gather, until, within } from '../support/events.mjs'
import { serveEngine } from '../support/servers.mjs'

const SMALL = [0, 1, 125, 126, 65_535, 65_536]

function bytes(length) {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 37 + 5) & 255))
}

for (const { transports, settles } of TRANSPORTS) {
  describe(`engine.io-client over ${JSON.stringify(transports)}`, () => {
    test('text and binary data of every size arrive in order, in both directions', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      assert.ok(far instanceof EngineSocket)
      const atServer = gather(far, 'data')
      const atClient = gather(near, 'data')
      const sizes = settles === 'websocket' ? [...SMALL, 900_000] : SMALL
      for (const size of sizes) {
        for (const end of [near, far]) {
          end.send(`text ${size}`)
          end.send(bytes(size))
        }
      }
      const count = sizes.length * 2
      await until(() => atServer.length === count && atClient.length === count, 'all messages')
      for (const got of [atServer, atClient]) {
        sizes.forEach((size, index) => {
          assert.equal(got[index * 2][0], `text ${size}`)
          const binary = got[index * 2 + 1][0]
          assert.ok(Buffer.isBuffer(binary), `a Buffer for ${size} bytes`)
          assert.ok(binary.equals(bytes(size)), `${size} bytes`)
        })
      }
    })

    test('values are sent as the text that engine.io makes of them', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      const got = gather(near, 'data')
      const sent = [
        'é',
        '',
        null,
        0,
        5,
        undefined,
        '🎉',
        'lone \ud800',
        new Uint16Array([1, 2]),
        'end',
      ]
      for (const value of sent) far.send(value)
      await until(() => got.length === sent.length, 'all messages')
      const seen = got.map(([data]) => (Buffer.isBuffer(data) ? [...data] : data || ''))
      assert.deepEqual(seen, ['é', '', '', '', '5', '', '🎉', 'lone \ufffd', [1, 0, 2, 0], 'end'])
    })

    test('an empty message is data(undefined) on the server', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      const data = event(far, 'data')
      near.send('')
      assert.deepEqual(await data, [undefined])
    })

    test('`message` and `data` both fire with the same payload', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      const both = Promise.all([event(far, 'message'), event(far, 'data')])
      near.send('payload')
      assert.deepEqual(await both, [['payload'], ['payload']])
    })

    test('send callbacks are called once each, in order, with the transport', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      const got = gather(near, 'data')
      const calls = []
      far.send('1', (transport) => calls.push([1, transport.name]))
      far.send('2', undefined, (transport) => calls.push([2, transport.name]))
      far.write(Buffer.from('3'), {}, (transport) => calls.push([3, transport.name]))
      assert.deepEqual(calls, [], 'no callback before the message has been sent')
      await until(() => calls.length === 3 && got.length === 3, 'callbacks and messages')
      assert.deepEqual(calls, [
        [1, settles],
        [2, settles],
        [3, settles],
      ])
    })

    test('flush and drain fire on the socket and on the engine', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      const order = []
      far.on('flush', (buffer) => order.push(['flush', buffer.length > 0]))
      served.engine.on('flush', (socket, buffer) =>
        order.push(['engine flush', socket === far, buffer.length > 0]),
      )
      far.on('drain', () => order.push(['drain']))
      served.engine.on('drain', (socket) => order.push(['engine drain', socket === far]))
      const got = event(near, 'data')
      far.send('x')
      await got
      await until(() => order.length === 4, 'all four events')
      assert.deepEqual(order, [
        ['flush', true],
        ['engine flush', true, true],
        ['drain'],
        ['engine drain', true],
      ])
    })

    test('packet and packetCreate fire for messages and for heartbeats', async (t) => {
      const served = await serveEngine(t, { pingInterval: 80, pingTimeout: 2000 })
      const { near, far } = await enginePair(t, served, { transports, settles })
      const came = gather(far, 'packet')
      const made = gather(far, 'packetCreate')
      near.send('hello')
      far.send('there')
      far.send(bytes(3), { compress: false })
      const types = (events) => events.map(([{ type }]) => type)
      await until(
        () => types(came).includes('pong') && types(made).includes('ping'),
        'a ping and its pong',
      )
      await until(() => types(came).includes('message'), 'the message')
      const [message] = came.find(([{ type }]) => type === 'message')
      assert.equal(message.data, 'hello')
      const messages = made.map(([packet]) => packet).filter(({ type }) => type === 'message')
      assert.equal(messages.length, 2)
      assert.equal(messages[0].data, 'there')
      assert.equal(messages[0].options.compress, true)
      assert.deepEqual(messages[1].data, bytes(3))
      assert.equal(messages[1].options.compress, false)
    })

    test('each pong is a heartbeat event', async (t) => {
      const served = await serveEngine(t, { pingInterval: 50, pingTimeout: 2000 })
      const { near, far } = await enginePair(t, served, { transports, settles })
      const pings = gather(near, 'ping')
      const heartbeats = gather(far, 'heartbeat')
      await until(() => heartbeats.length >= 3 && pings.length >= 3, 'three heartbeats')
      assert.ok(Math.abs(heartbeats.length - pings.length) <= 1)
    })

    test('a silent client is closed after pingInterval and pingTimeout', async (t) => {
      const served = await serveEngine(t, { pingInterval: 60, pingTimeout: 90 })
      const { near, far } = await enginePair(t, served, { transports, settles })
      near._sendPacket = () => {}
      const start = performance.now()
      const [reason] = await event(far, 'close')
      assert.equal(reason, 'ping timeout')
      assert.ok(performance.now() - start >= 80, 'not before its time')
      await until(() => near.readyState === 'closed', 'the client to notice the close')
    })

    test('clients and clientsCount follow the connections', async (t) => {
      const served = await serveEngine(t)
      const { engine } = served
      assert.deepEqual(Object.keys(engine.clients), [])
      const { near, far } = await enginePair(t, served, { transports, settles })
      assert.deepEqual(Object.keys(engine.clients), [far.id])
      assert.equal(engine.clients[far.id], far)
      assert.equal(engine.clientsCount, 1)
      assert.equal(near.id, far.id)
      let atClose
      far.on('close', () => {
        atClose = [engine.clientsCount, Object.keys(engine.clients), far.readyState]
      })
      near.close()
      await until(() => atClose, 'the close')
      assert.deepEqual(atClose, [0, [], 'closed'])
    })

    test('a close by the client is one transport close', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      const closes = gather(far, 'close')
      const nearClose = event(near, 'close')
      near.close()
      assert.equal((await nearClose)[0], 'forced close')
      await until(() => closes.length > 0, 'the close')
      await until(() => served.engine.clientsCount === 0, 'no clients')
      assert.equal(closes.length, 1)
      assert.equal(closes[0][0], 'transport close')
    })

    test('a close by the server is a forced close, after the messages sent before', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      const got = gather(near, 'data')
      const closes = gather(far, 'close')
      const nearClose = event(near, 'close')
      for (let n = 0; n < 20; n++) far.send(String(n))
      far.close()
      assert.notEqual(far.readyState, 'open')
      far.send('never')
      assert.equal((await nearClose)[0], 'transport close')
      assert.deepEqual(
        got.map(([data]) => Number(data)),
        Array.from({ length: 20 }, (_, n) => n),
      )
      await until(() => closes.length > 0, 'the close')
      assert.equal(closes.length, 1)
      assert.equal(closes[0][0], 'forced close')
      assert.equal(far.readyState, 'closed')
    })

    test('close(true) on the server closes at once', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      const closes = gather(far, 'close')
      const nearClose = event(near, 'close')
      far.close(true)
      await nearClose
      await until(() => closes.length > 0, 'the close')
      assert.deepEqual(
        closes.map(([reason]) => reason),
        ['forced close'],
      )
    })

    test('calls on a closed socket have no effect', async (t) => {
      const served = await serveEngine(t)
      const { near, far } = await enginePair(t, served, { transports, settles })
      const closed = event(far, 'close')
      near.close()
      await closed
      assert.doesNotThrow(() => {
        far.send('x', () => assert.fail('a callback after the close'))
        far.write(Buffer.alloc(3))
        far.close()
        far.close(true)
        far.on('heartbeat', () => {})
        assert.equal(far.transport.writable, false)
        assert.equal(far.writeBuffer.length, 0)
      })
      // Another connection still works.
      const other = await enginePair(t, served, { transports, settles })
      const got = event(other.far, 'data')
      other.near.send('good')
      assert.deepEqual(await got, ['good'])
    })
  })
}

describe('engine.io-client, case by case', () => {
  test('upgrade events come in order with the right transports', async (t) => {
    const served = await serveEngine(t)
    const arrival = event(served.engine, 'connection')
    const near = engineClient(t, served.url, { transports: ['polling', 'websocket'] })
    const [far] = await arrival
    const order = []
    assert.equal(far.transport.name, 'polling')
    assert.equal(far.upgraded, false)
    far.on('upgrading', (transport) =>
      order.push(['upgrading', transport.name, far.transport.name]),
    )
    far.on('upgrade', (transport) =>
      order.push(['upgrade', transport.name, far.transport.name, far.upgraded]),
    )
    await settled(near, 'websocket')
    await until(() => order.length >= 2, 'both events')
    assert.deepEqual(order, [
      ['upgrading', 'websocket', 'polling'],
      ['upgrade', 'websocket', 'websocket', true],
    ])
    assert.equal(far.transport.readyState, 'open')
    assert.equal(far.upgrading, false)
  })

  test('without allowUpgrades the client stays on polling', async (t) => {
    const served = await serveEngine(t, { allowUpgrades: false })
    const { near, far } = await enginePair(t, served, { transports: ['polling', 'websocket'] })
    const got = gather(far, 'data')
    for (let n = 0; n < 5; n++) {
      near.send(String(n))
      await until(() => got.length === n + 1, 'the message')
    }
    assert.equal(near.transport.name, 'polling')
    assert.equal(far.transport.name, 'polling')
  })

  test('a server without polling accepts only WebSocket', async (t) => {
    const served = await serveEngine(t, { transports: ['websocket'] })
    const refused = engineClient(t, served.url, { transports: ['polling'] })
    await event(refused, 'error')
    const { far } = await enginePair(t, served, { transports: ['websocket'] })
    assert.equal(far.transport.name, 'websocket')
  })

  test('a server without WebSocket keeps its clients on polling', async (t) => {
    const served = await serveEngine(t, { transports: ['polling'] })
    const refused = engineClient(t, served.url, { transports: ['websocket'] })
    await event(refused, 'error')
    const { near, far } = await enginePair(t, served, { transports: ['polling', 'websocket'] })
    const got = event(far, 'data')
    near.send('x')
    await got
    assert.equal(near.transport.name, 'polling')
  })

  test('a client that tries other transports in turn connects', async (t) => {
    const served = await serveEngine(t, { transports: ['polling'] })
    const near = engineClient(t, served.url, {
      transports: ['websocket', 'polling'],
      tryAllTransports: true,
    })
    await event(near, 'open')
    assert.equal(near.transport.name, 'polling')
  })

  test('a client that remembers an upgrade opens on WebSocket at once', async (t) => {
    const served = await serveEngine(t)
    await enginePair(t, served, { transports: ['polling', 'websocket'], settles: 'websocket' })
    const { far } = await enginePair(t, served, {
      transports: ['polling', 'websocket'],
      rememberUpgrade: true,
    })
    assert.equal(far.transport.name, 'websocket')
  })

  test('messages sent in the connection handler follow the open packet', async (t) => {
    const served = await serveEngine(t)
    served.engine.on('connection', (socket) => {
      socket.send('first')
      socket.send(bytes(4))
      socket.send('last')
    })
    for (const { transports } of TRANSPORTS) {
      const near = engineClient(t, served.url, { transports })
      const got = gather(near, 'data')
      await until(() => got.length === 3, 'three messages')
      assert.deepEqual(
        got.map(([data]) => data),
        ['first', bytes(4), 'last'],
      )
    }
  })

  test('a socket closed in the connection handler closes its client', async (t) => {
    const served = await serveEngine(t)
    served.engine.on('connection', (socket) => socket.close())
    for (const { transports } of TRANSPORTS) {
      const near = engineClient(t, served.url, { transports })
      assert.equal((await event(near, 'close'))[0], 'transport close')
    }
    await until(() => served.engine.clientsCount === 0, 'no clients')
  })

  test('a message has the bytes of the time of the call', async (t) => {
    const served = await serveEngine(t)
    for (const { transports, settles } of TRANSPORTS) {
      const { near, far } = await enginePair(t, served, { transports, settles })
      const got = event(near, 'data')
      const buffer = Buffer.from('before')
      far.send(buffer)
      buffer.fill('X')
      assert.equal(String((await got)[0]), 'before')

      const detached = new ArrayBuffer(4)
      structuredClone(detached, { transfer: [detached] })
      const messages = gather(near, 'data')
      far.send(detached)
      far.send('after')
      await until(() => messages.length === 2, 'both messages')
      assert.equal(messages[0][0].length, 0)
      near.close()
    }
  })

  test('handleRequest and handleUpgrade serve requests that the app dispatches itself', async (t) => {
    const { createServer } = await import('node:http')
    const { Engine } = await import('upwire')
    const { listen, shut } = await import('../support/servers.mjs')
    const engine = new Engine()
    const server = createServer((req, res) => engine.handleRequest(req, res))
    server.on('upgrade', (req, socket, head) => engine.handleUpgrade(req, socket, head))
    const url = `http://127.0.0.1:${await listen(server)}`
    t.after(async () => {
      engine.close()
      await shut(server)
    })
    for (const { transports, settles } of TRANSPORTS) {
      const { near, far } = await enginePair(t, { engine, url }, { transports, settles })
      const got = event(far, 'data')
      near.send('dispatched')
      assert.deepEqual(await got, ['dispatched'])
    }
  })

  test('io.bind(engine) works with an engine made by the app', async (t) => {
    const { Server } = await import('socket.io')
    const { connect } = await import('../support/clients.mjs')
    const served = await serveEngine(t, { path: '/own' })
    const io = new Server()
    io.bind(served.engine)
    io.on('connection', (socket) => socket.on('echo', (value, ack) => ack(value)))
    for (const { transports } of TRANSPORTS) {
      const near = await connect(t, served.url, { path: '/own/', transports })
      assert.equal(await near.timeout(5000).emitWithAck('echo', 'bound'), 'bound')
    }
  })

  test('generateId() of the engine gives 20 characters, and no two ids are alike', async (t) => {
    const { engine } = await serveEngine(t)
    const ids = new Set(Array.from({ length: 5000 }, () => engine.generateId()))
    assert.equal(ids.size, 5000)
    for (const id of ids) assert.match(id, /^[\w-]{20}$/)
  })

  test('an engine that closes notifies and forgets all clients', async (t) => {
    const served = await serveEngine(t)
    const ends = []
    for (const { transports, settles } of TRANSPORTS) {
      ends.push(await enginePair(t, served, { transports, settles }))
    }
    const reasons = ends.map(({ far }) => event(far, 'close'))
    const nearReasons = ends.map(({ near }) => event(near, 'close'))
    assert.equal(served.engine.close(), served.engine)
    served.engine.close()
    for (const reason of reasons) assert.equal((await reason)[0], 'forced close')
    for (const reason of nearReasons) assert.equal((await reason)[0], 'transport close')
    assert.equal(served.engine.clientsCount, 0)
    await within(
      new Promise((resolve) =>
        engineClient(t, served.url, { transports: ['polling'] }).once('error', resolve),
      ),
      'a refusal after the close',
    )
  })
})
