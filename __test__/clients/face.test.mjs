// The parts of a session's interface that apps use as with engine.io: back-pressure, events, and
// the session's request and transport.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Engine } from 'upwire'
import { TRANSPORTS, engineClient, enginePair } from '../support/clients.mjs'
import { event, gather, until } from '../support/events.mjs'
import { listen, pages, serveEngine } from '../support/servers.mjs'

const KINDS = TRANSPORTS.slice(0, 2)

for (const { transports } of KINDS) {
  describe(`a session over ${transports}`, () => {
    test('a producer that waits for drain while messages are queued sends everything', async (t) => {
      const { near, far } = await enginePair(t, await serveEngine(t), { transports })
      const got = gather(near, 'data')
      const count = 200
      let sent = 0
      const pump = () => {
        while (sent < count) {
          if (far.writeBuffer.length > 0) return void far.once('drain', pump)
          far.send(String(sent++))
        }
      }
      pump()
      await until(() => got.length === count, 'all messages')
      assert.deepEqual(
        got.map(([text]) => Number(text)),
        Array.from({ length: count }, (_, index) => index),
      )
    })

    test('drain fires for messages written before its listener was added', async (t) => {
      const { engine, ...served } = await serveEngine(t)
      const { far } = await enginePair(t, { engine, ...served }, { transports })
      far.send('a')
      await event(far, 'drain')
      far.send('b')
      const [socket] = await event(engine, 'drain')
      assert.equal(socket, far)
    })

    test('flush shows a packet with its options, and drain follows', async (t) => {
      const { near, far } = await enginePair(t, await serveEngine(t), { transports })
      const got = gather(near, 'data')
      const flushes = gather(far, 'flush')
      far.once('flush', () => far.send('second'))
      far.send('first', { compress: false })
      await event(far, 'drain')
      await until(() => got.length === 2, 'both messages')
      assert.deepEqual(got, [['first'], ['second']])
      assert.deepEqual(
        flushes.map(([[packet]]) => packet),
        [
          { type: 'message', data: 'first', options: { compress: false } },
          { type: 'message', data: 'second', options: { compress: true } },
        ],
      )
    })

    test('writeBuffer has the length of the unsent messages, in close listeners too', async (t) => {
      const { far } = await enginePair(t, await serveEngine(t), { transports })
      const lengths = []
      far.on('close', () => {
        lengths.push(far.writeBuffer.length)
        process.nextTick(() => lengths.push(far.writeBuffer.length))
      })
      const sent = 3
      for (let index = 0; index < sent; index++) far.send('x'.repeat(10_000_000))
      assert.equal(far.writeBuffer.length, sent)
      far.close(true)
      await until(() => lengths.length === 2, 'the close and the tick after it')
      assert.ok(lengths[0] > 0 && lengths[0] <= sent, `${lengths[0]} in the listener`)
      assert.equal(lengths[1], 0)
    })

    test('a pre-encoded frame is sent as it is, whatever listens', async (t) => {
      const { near, far } = await enginePair(t, await serveEngine(t), { transports })
      const got = gather(near, 'data')
      far.on('drain', () => {})
      far.write('as text', { wsPreEncodedFrame: [Buffer.from([0x81, 4]), Buffer.from('4raw')] })
      await until(() => got.length === 1, 'the message')
      assert.deepEqual(got, [[transports[0] === 'websocket' ? 'raw' : 'as text']])
    })

    test('write can be replaced by a function that calls send', async (t) => {
      const { near, far } = await enginePair(t, await serveEngine(t), { transports })
      const got = gather(near, 'data')
      far.write = (...args) => far.send(...args)
      far.write('once')
      far.send('twice')
      await until(() => got.length === 2, 'both messages')
      assert.deepEqual(got, [['once'], ['twice']])
    })
  })
}

for (const [name, end] of [
  ['is closed in its connection listener', (far) => far.close(true)],
  ['is closed with its engine at once', (_far, engine) => engine.close()],
]) {
  test(`a WebSocket session that ${name} is opened first`, async (t) => {
    const { engine, url } = await serveEngine(t)
    engine.once('connection', (far) => end(far, engine))
    const near = engineClient(t, url, { transports: ['websocket'] })
    const seen = []
    for (const each of ['open', 'close']) near.on(each, () => seen.push(each))
    await event(near, 'close')
    assert.deepEqual(seen, ['open', 'close'])
  })
}

test('a request that the app passes on keeps the app’s own properties', async (t) => {
  const server = pages()
  const engine = new Engine()
  const seen = []
  server.on('upgrade', (req, socket, head) => {
    req.user = 'alice'
    seen.push(req)
    engine.handleUpgrade(req, socket, head)
  })
  const url = `http://127.0.0.1:${await listen(server)}`
  t.after(() => {
    engine.close()
    server.close()
  })
  const arrival = event(engine, 'connection')
  engineClient(t, url, { transports: ['websocket'] })
  const [far] = await arrival
  assert.equal(far.request, seen[0])
  assert.equal(far.request.user, 'alice')
})

test('the remains of a request and its connection do not throw', async (t) => {
  const { far } = await enginePair(t, await serveEngine(t), { transports: ['websocket'] })
  const { request } = far
  assert.deepEqual(request.headersDistinct.host, [request.headers.host])
  request.on('data', () => {})
  assert.equal(request.socket.remoteFamily, 'IPv4')
  request.socket.setTimeout(1000)
  request.socket.setNoDelay(true)
  request.socket.once('close', () => {})
  assert.equal(request.socket.address().address, '127.0.0.1')
})

test('the transport has the properties of engine.io’s', async (t) => {
  const served = await serveEngine(t)
  const arrival = event(served.engine, 'connection')
  const near = engineClient(t, served.url, { transports: ['polling', 'websocket'] })
  const [far] = await arrival
  const headers = gather(far.transport, 'headers')
  const [probed] = await event(far, 'upgrading')
  assert.deepEqual([probed.name, probed.readyState, probed.discarded], ['websocket', 'open', false])
  const [transport] = await event(far, 'upgrade')
  assert.equal(transport, probed)
  assert.equal(transport.socket, transport.socket)
  assert.deepEqual(transport.socket._extensions, {})
  transport.socket._socket.setNoDelay(true)
  assert.equal(transport.socket.readyState, 1)
  assert.ok(headers.length > 0 && headers[0][0]['Content-Type'] !== undefined)
  const closed = event(near, 'close')
  transport.close()
  await closed
})

test('a middleware’s response emits close when its connection ends', async (t) => {
  const { engine, ...served } = await serveEngine(t)
  const told = []
  engine.use((req, res, next) => {
    assert.equal(res.socket, req.socket)
    res.on('close', () => told.push(engine.clientsCount))
    next()
  })
  const { near } = await enginePair(t, { engine, ...served }, { transports: ['websocket'] })
  assert.deepEqual(told, [])
  near.close()
  await until(() => told.length === 1, 'the close event')
  assert.deepEqual(told, [0])
})

test('an engine that was closed serves again on a server that listens again', async (t) => {
  const { engine, server, url } = await serveEngine(t)
  engine.close()
  engine.attach(server)
  for (const { transports } of KINDS) {
    const near = engineClient(t, url, { transports })
    await event(near, 'open')
  }
})
