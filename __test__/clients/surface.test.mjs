// What apps use of engine.io beyond messages: batches, transports, the WebSocket and the request that stand
// for native ones, and the members that are refused with a reason.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, test } from 'node:test'
import { Engine, EngineSocket } from 'upwire'
import { TRANSPORTS, engineClient, enginePair } from '../support/clients.mjs'
import { event, gather, until, within } from '../support/events.mjs'
import { serveEngine } from '../support/servers.mjs'
import { WebSocket } from '../support/websocket.mjs'

const WEBSOCKET = { transports: ['websocket'] }
const PATH = '/engine.io/?EIO=4&transport=websocket'

for (const { transports } of TRANSPORTS.slice(0, 2)) {
  describe(`over ${transports}`, () => {
    test('flush has all packets of a tick, and one drain follows', async (t) => {
      const served = await serveEngine(t)
      const { far } = await enginePair(t, served, { transports })
      const seen = []
      far.on('flush', (packets) => seen.push(['flush', packets.map(({ data }) => data)]))
      served.engine.on('flush', (socket, packets) => seen.push(['engine', socket, packets.length]))
      far.on('drain', () => seen.push(['drain', far.writeBuffer.length]))
      for (const text of ['a', 'b', 'c']) far.send(text)
      assert.deepEqual(seen, [])
      await event(served.engine, 'drain')
      assert.deepEqual(seen, [
        ['flush', ['a', 'b', 'c']],
        ['engine', far, 3],
        ['drain', 0],
      ])
    })

    test('drain does not fire while messages behind a callback wait', async (t) => {
      const { near, far } = await enginePair(t, await serveEngine(t), { transports })
      const got = gather(near, 'data')
      const lengths = []
      const called = []
      far.on('drain', () => lengths.push(far.writeBuffer.length))
      far.send('a', () => called.push('a'))
      far.send('b')
      far.send('c', () => called.push('c'))
      await until(() => got.length === 3 && called.length === 2, 'all messages and callbacks')
      await until(() => lengths.length > 0, 'a drain event')
      assert.ok(
        lengths.every((length) => length === 0),
        String(lengths),
      )
    })

    test('a transport emits the packets of its session', async (t) => {
      const { near, far } = await enginePair(t, await serveEngine(t, { pingInterval: 50 }), {
        transports,
      })
      const packets = gather(far.transport, 'packet')
      near.send('text')
      await until(() => packets.length > 1, 'a message and a pong')
      const types = packets.map(([packet]) => packet.type)
      assert.ok(types.includes('pong') && types.includes('message'), String(types))
      const [message] = packets.find(([{ type }]) => type === 'message')
      assert.equal(message.data, 'text')
    })

    test('transport.close() calls back when the session is closed', async (t) => {
      const { far } = await enginePair(t, await serveEngine(t), { transports })
      const state = await within(
        new Promise((resolve) => far.transport.close(() => resolve(far.readyState))),
        'the callback',
      )
      assert.equal(state, 'closed')
      far.transport.close(() => assert.fail('it was closed before'))
    })

    test('packetsFn has the callbacks that wait, and none in close listeners', async (t) => {
      const { far } = await enginePair(t, await serveEngine(t), { transports })
      const callback = () => {}
      far.send('x'.repeat(10_000_000), callback)
      assert.deepEqual(far.packetsFn, [callback])
      assert.deepEqual(far.sentCallbackFn, [])
      const closed = new Promise((resolve) => {
        far.on('close', () => resolve([far.packetsFn.length, far.sentCallbackFn.length]))
      })
      far.close(true)
      assert.deepEqual(await within(closed, 'the close'), [0, 0])
    })

    test('writeBuffer takes messages, and refuses to give some back', async (t) => {
      const { near, far } = await enginePair(t, await serveEngine(t), { transports })
      const got = gather(near, 'data')
      assert.equal(far.writeBuffer.push({ type: 'message', data: 'pushed' }), 1)
      far.flush()
      assert.ok(Array.isArray(far.writeBuffer))
      assert.equal(far.writeBuffer[0].type, 'message')
      assert.throws(() => far.writeBuffer.shift(), { code: 'ERR_UPWIRE_UNSUPPORTED' })
      assert.throws(() => far.writeBuffer.push({ type: 'ping' }), {
        code: 'ERR_UPWIRE_UNSUPPORTED',
      })
      await until(() => got.length > 0, 'the message')
      assert.deepEqual(got, [['pushed']])
    })
  })
}

test('a listener for flush that throws keeps neither the messages nor other listeners', async (t) => {
  const { engine, ...served } = await serveEngine(t)
  const { near, far } = await enginePair(t, { engine, ...served }, WEBSOCKET)
  const got = gather(near, 'data')
  const failed = new Promise((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve)
  })
  t.after(() => process.setUncaughtExceptionCaptureCallback(null))
  const atEngine = gather(engine, 'flush')
  far.once('flush', () => {
    throw new Error('of the app')
  })
  far.send('sent')
  assert.equal((await within(failed, 'the error')).message, 'of the app')
  await until(() => got.length === 1, 'the message')
  assert.equal(atEngine.length, 1)
})

describe('transport.socket', () => {
  for (const [name, last, expected] of [
    [
      'a code and a reason',
      Buffer.from([0x88, 0x85, 0, 0, 0, 0, 0x0f, 0xa1, 98, 121, 101]),
      [4001, 'bye'],
    ],
    ['no code', Buffer.from([0x88, 0x80, 0, 0, 0, 0]), [1005, '']],
    ['no close frame', undefined, [1006, '']],
  ]) {
    test(`emits close once: ${name}`, async (t) => {
      const { engine, port } = await serveEngine(t)
      const arrival = event(engine, 'connection')
      const near = await WebSocket.open(t, port, { path: PATH })
      const [far] = await arrival
      const closes = gather(far.transport.socket, 'close')
      if (last === undefined) near.stream.destroy()
      else near.stream.write(last)
      await event(far, 'close')
      assert.deepEqual(
        closes.map(([code, reason]) => [code, reason.toString()]),
        [expected],
      )
    })
  }

  for (const options of [{}, { perMessageDeflate: true }]) {
    test(`sends pings between messages, with ${JSON.stringify(options)}`, async (t) => {
      const { engine, port } = await serveEngine(t, options)
      const arrival = event(engine, 'connection')
      const stream = net.connect(port, '127.0.0.1')
      t.after(() => stream.destroy())
      stream.write(
        `GET ${PATH} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
          'Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n',
      )
      const bytes = []
      stream.on('data', (chunk) => bytes.push(chunk))
      const [far] = await arrival
      const { socket } = far.transport
      far.send('a')
      await within(new Promise((resolve) => socket.ping('hey', false, resolve)), 'the callback')
      far.send('b')
      const wanted = Buffer.from('\x81\x024a\x89\x03hey\x81\x024b', 'latin1')
      await until(() => Buffer.concat(bytes).includes(wanted), 'the three frames')
      assert.throws(() => socket.ping('x'.repeat(126)), { code: 'ERR_UPWIRE_INVALID_OPTION' })
      far.close(true)
      await event(far, 'close')
      const error = await within(new Promise((resolve) => socket.ping(resolve)), 'an error')
      assert.match(error.message, /not open/)
    })
  }

  test('knows the connection', async (t) => {
    const { engine, port } = await serveEngine(t)
    const { far } = await enginePair(t, { engine, url: `http://127.0.0.1:${port}` }, WEBSOCKET)
    const { _socket: connection } = far.transport.socket
    assert.equal(connection.remoteAddress, '127.0.0.1')
    assert.equal(connection.localPort, port)
    assert.equal(connection.setNoDelay(true).destroyed, false)
    const closed = event(far, 'close')
    connection.destroy()
    await closed
    assert.equal(connection.destroyed, true)
  })
})

describe('the request of a WebSocket', () => {
  /** @returns the session of a WebSocket with these header lines */
  async function session(t, engine, port, lines = '') {
    const arrival = event(engine, 'connection')
    const near = await WebSocket.open(t, port, { path: PATH, headers: lines })
    const [far] = await arrival
    return { near, far }
  }

  test('has the headers as sent, whatever their case, order and number', async (t) => {
    const { engine, port } = await serveEngine(t)
    const seen = []
    for (const lines of [
      'x-One: 1\r\nX-TWO: 2\r\n',
      'x-One: 3\r\nX-TWO: 4\r\n',
      'X-a: 1\r\nx-A: 2\r\n',
    ]) {
      const { far } = await session(t, engine, port, lines)
      const { rawHeaders, headersDistinct, headers } = far.request
      seen.push(rawHeaders.filter((_, index) => /^x-/i.test(rawHeaders[index - (index % 2)])))
      assert.equal(rawHeaders[0], 'Host')
      assert.equal(rawHeaders[1], headers.host)
      assert.deepEqual(headersDistinct.host, [headers.host])
    }
    assert.deepEqual(seen, [
      ['x-One', '1', 'X-TWO', '2'],
      ['x-One', '3', 'X-TWO', '4'],
      ['X-a', '1', 'x-A', '2'],
    ])
  })

  test('is a stream that ends, with the properties of Node’s', async (t) => {
    const { engine, port } = await serveEngine(t)
    const { far } = await session(t, engine, port)
    const { request } = far
    assert.equal(request.client, request.socket)
    assert.equal(request.connection, request.socket)
    assert.equal(request.socket.localPort, port)
    assert.equal(request.socket.localAddress, '127.0.0.1')
    const { complete, aborted, upgrade, httpVersionMajor, trailers, rawTrailers, destroyed } =
      request
    assert.deepEqual(
      { complete, aborted, upgrade, httpVersionMajor, trailers, rawTrailers, destroyed },
      {
        complete: true,
        aborted: false,
        upgrade: true,
        httpVersionMajor: 1,
        trailers: {},
        rawTrailers: [],
        destroyed: false,
      },
    )
    assert.equal(request.read(), null)
    assert.equal(request.setEncoding('utf8').pause().setTimeout(1000), request)
    assert.equal(request.isPaused(), true)
    const data = gather(request, 'data')
    const end = once(request, 'end')
    request.resume()
    await within(end, 'the end')
    assert.deepEqual(data, [])
    for await (const chunk of (await session(t, engine, port)).far.request) assert.fail(chunk)
    assert.equal(far.readyState, 'open')
  })

  test('follows the session: destroyed and close when it closes, and destroy() closes it', async (t) => {
    const { engine, port } = await serveEngine(t)
    const { far, near } = await session(t, engine, port)
    const closes = gather(far.request.socket, 'close')
    assert.equal(far.request.socket.destroyed, false)
    assert.equal(far.request.socket.write('never'), false)
    far.send('next')
    assert.equal(String((await near.message()).payload).slice(0, 2), '0{')
    assert.equal(String((await near.message()).payload), '4next')
    const closed = event(far, 'close')
    far.request.destroy()
    await closed
    await until(() => closes.length === 1, 'close of the connection')
    assert.equal(far.request.socket.destroyed, true)
    await within(near.ended, 'the end of the connection')
  })
})

describe('an engine', () => {
  test('has engine.io’s exports as statics', () => {
    assert.equal(Engine.Server, Engine)
    assert.equal(Engine.Socket, EngineSocket)
    assert.equal(Engine.protocol, 4)
    assert.deepEqual(Object.keys(Engine.transports), ['polling', 'websocket'])
    for (const name of ['parser', 'uServer']) {
      assert.throws(() => Engine[name], { code: 'ERR_UPWIRE_UNSUPPORTED' })
    }
  })

  test('refuses what it cannot do, with the reason', (t) => {
    const engine = new Engine()
    t.after(() => engine.close())
    for (const refused of [
      () => engine.onWebSocket({}, {}, {}),
      () => engine.onWebTransportSession({}),
      () => engine.createTransport('polling', {}),
      () => engine.ws.handleUpgrade(),
      () => engine.ws.on('headers', () => {}),
    ]) {
      assert.throws(refused, { code: 'ERR_UPWIRE_UNSUPPORTED', message: /is not supported: ./ })
    }
    assert.deepEqual(engine.ws.options.maxPayload, 1e6)
    assert.equal(new Engine({ transports: ['polling'] }).ws, undefined)
  })

  test('takes changes of its options that it reads later, and refuses others', async (t) => {
    const { engine, url } = await serveEngine(t, { pingInterval: 1000, maxSessions: 5 })
    assert.throws(() => (engine.opts.pingInterval = 1), {
      code: 'ERR_UPWIRE_UNSUPPORTED',
      message: /engine\.opts\.pingInterval .*constructor/,
    })
    assert.equal(engine.opts.pingInterval, 1000)
    assert.equal({ ...engine.opts }.pingInterval, 1000)
    engine.opts.allowRequest = (_request, decide) => decide('closed today', false)
    const refused = event(engine, 'connection_error')
    engineClient(t, url, WEBSOCKET)
    assert.equal((await refused)[0].context.message, 'closed today')
  })

  test('prepares requests for a server that routes them itself', (t) => {
    const engine = new Engine()
    t.after(() => engine.close())
    const request = { url: '/engine.io/?a=1&b=%20' }
    engine.prepare(request)
    assert.deepEqual({ ...request._query }, { a: '1', b: ' ' })
    request._query.c = '2'
    engine.prepare(request)
    assert.equal(request._query.c, '2')
  })

  test('emits flush on a server of its own', async (t) => {
    const engine = Engine.listen(0)
    t.after(() => {
      engine.close()
      engine.httpServer.close()
    })
    await once(engine.httpServer, 'listening')
    const { port } = engine.httpServer.address()
    const { far } = await enginePair(t, { engine, url: `http://127.0.0.1:${port}` }, WEBSOCKET)
    const flushed = event(engine, 'flush')
    far.send('x')
    const [socket, packets] = await flushed
    assert.equal(socket, far)
    assert.equal(packets.length, 1)
  })
})
