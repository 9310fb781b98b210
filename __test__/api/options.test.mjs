// Options: which values are accepted, which are refused, and with which errors.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, test } from 'node:test'
import { attach, Engine } from 'upwire'
import { connect } from '../support/clients.mjs'
import { listen, pages, serve } from '../support/servers.mjs'

/** The three ways to pass options. */
const ways = {
  attach: (opts) => attach(createServer(), opts),
  'new Engine': (opts) => new Engine(opts),
  'engine.attach': (opts) => new Engine().attach(createServer(), opts),
}

const numbers = [
  'pingInterval',
  'pingTimeout',
  'upgradeTimeout',
  'maxHttpBufferSize',
  'destroyUpgradeTimeout',
  'closeTimeout',
  'handshakeTimeout',
  'maxSendBuffer',
  'maxTotalSendBuffer',
  'maxReceiveQueue',
  'maxTotalReceiveQueue',
  'maxDeflateContexts',
  'maxDepth',
  'maxFragments',
  'maxMessageRate',
  'maxPendingPongs',
  'maxHandshakeRate',
  'maxPendingHandshakes',
  'maxSessions',
  'maxSessionsPerAddress',
  'maxLoopStall',
  'ioThreads',
]
const booleans = ['allowUpgrades', 'addTrailingSlash', 'destroyUpgrade', 'requireOrigin']

const noOrigins = [
  'app.example',
  'https://',
  'https://app.example/chat',
  'https://app.example//',
  'https://user@app.example',
  'https://*.app.example',
  'https://app.example, https://other.example',
]

/** Wrong members of `perMessageDeflate`. */
const deflateMembers = [
  { threshold: -1 },
  { threshold: '1kb' },
  { serverNoContextTakeover: 1 },
  { clientNoContextTakeover: 'no' },
  { serverMaxWindowBits: 8 },
  { serverMaxWindowBits: 16 },
  { clientMaxWindowBits: 7 },
  { concurrencyLimit: 0 },
  { zlibDeflateOptions: 5 },
  { zlibDeflateOptions: { level: 10 } },
  { zlibDeflateOptions: { memLevel: 0 } },
  { zlibDeflateOptions: { strategy: 5 } },
  { zlibInflateOptions: null },
]

const canBeInfinite = ['maxHttpBufferSize', 'pingInterval', 'pingTimeout']

const wrong = [
  ...numbers.flatMap((name) =>
    ['5', '', NaN, -Infinity, -1, 1.5, true, {}, [], 5n, null, () => {}].map((value) => [
      name,
      value,
    ]),
  ),
  ...numbers.filter((name) => !canBeInfinite.includes(name)).map((name) => [name, Infinity]),
  ...booleans.flatMap((name) => ['true', 0, 1, {}, null].map((value) => [name, value])),
  ...[5, 'io', {}, [], true].map((value) => ['path', value]),
  ...['websockets', '', [], {}, 5, [5], ['pigeon'], ['websocket', 'constructor'], null].map(
    (value) => ['transports', value],
  ),
  ...['yes', 3, {}].map((value) => ['allowEIO3', value]),
  ...['yes', 5, {}, true].map((value) => ['allowRequest', value]),
  ...['', 'https://a.example', 5, []].map((value) => ['cors', value]),
  ...['', 5, {}, true, false, null, [undefined], [['*']], [() => true], ...noOrigins].map(
    (value) => ['allowedOrigins', value],
  ),
  ...[5, {}, ...noOrigins].map((origin) => ['cors', { origin: ['*', origin] }]),
  ...['io', 5, [], { name: 'a b' }, { name: '' }, { path: 'a;b' }].map((value) => [
    'cookie',
    value,
  ]),
  ...['keep', 5, true].map((value) => ['slowConsumer', value]),
  ...['yes', 5, ...deflateMembers].map((value) => ['perMessageDeflate', value]),
]

const unsupported = [
  ['transports', ['polling', 'webtransport']],
  ['perMessageDeflate', { zlibDeflateOptions: { dictionary: Buffer.from('a') } }],
  ['httpCompression', true],
  ['httpCompression', { threshold: 1 }],
  ['wsEngine', class {}],
]

describe('options', () => {
  for (const [way, give] of Object.entries(ways)) {
    test(`${way}: a wrong type or range is a TypeError that names option and value`, () => {
      for (const [name, value] of wrong) {
        assert.throws(
          () => give({ [name]: value }),
          (error) => {
            assert.ok(error instanceof TypeError, `${name}: ${error.stack}`)
            assert.equal(error.code, 'ERR_UPWIRE_INVALID_OPTION')
            assert.ok(error.message.includes(name), error.message)
            if (['string', 'number', 'boolean'].includes(typeof value)) {
              assert.ok(error.message.includes(String(value)), error.message)
            }
            return true
          },
          `${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`,
        )
      }
    })

    test(`${way}: a known feature that is not supported yet is a clear error`, () => {
      for (const [name, value] of unsupported) {
        assert.throws(
          () => give({ [name]: value }),
          (error) => {
            assert.equal(error.code, 'ERR_UPWIRE_UNSUPPORTED_OPTION')
            assert.ok(error.message.includes(name), error.message)
            return true
          },
          name,
        )
      }
    })

    test(`${way}: false and undefined are accepted for unsupported features`, () => {
      for (const [name] of unsupported.filter(([option]) => option !== 'transports')) {
        assert.doesNotThrow(() => give({ [name]: undefined }), name)
        assert.doesNotThrow(() => give({ [name]: false }), name)
      }
      for (const name of [...numbers, ...booleans, 'path', 'transports', 'allowRequest', 'cors']) {
        assert.doesNotThrow(() => give({ [name]: undefined }), name)
      }
      assert.doesNotThrow(() => give({ cors: false }))
    })

    test(`${way}: unknown names are ignored`, () => {
      assert.doesNotThrow(() =>
        give({
          unknown: 5,
          constructor: 1,
          serveClient: false,
          connectTimeout: 5,
          adapter: undefined,
          hasOwnProperty: 1,
        }),
      )
    })
  }

  test('an invalid origin in a list is named', () => {
    for (const origin of noOrigins) {
      const named = (error) => {
        assert.equal(error.code, 'ERR_UPWIRE_INVALID_OPTION')
        assert.ok(error.message.includes(JSON.stringify(origin)), error.message)
        return true
      }
      assert.throws(() => new Engine({ allowedOrigins: ['https://app.example', origin] }), named)
      assert.throws(() => new Engine({ cors: { origin: [/x/, origin] } }), named)
      assert.throws(() => new Engine({ cors: { origin } }), named)
    }
  })

  test('valid origins are accepted', () => {
    const origins = ['*', 'null', 'file://', 'tauri://localhost', 'http://[::1]:3000', /./, 'a://']
    for (const origin of [...origins, 'HTTPS://App.Example:443', []]) {
      assert.doesNotThrow(() => new Engine({ allowedOrigins: origin }))
      assert.doesNotThrow(() => new Engine({ allowedOrigins: [origin].flat() }))
      assert.doesNotThrow(() => new Engine({ cors: { origin } }))
    }
    for (const origin of [true, false, undefined, null, '', [undefined, false, true], () => {}]) {
      assert.doesNotThrow(() => new Engine({ cors: { origin } }))
    }
  })

  test('a refused attach leaves the server as it was', async (t) => {
    const server = pages()
    const { emit, close } = server
    const listeners = server.eventNames().map((name) => [name, server.listenerCount(name)])
    assert.throws(() => attach(server, { pingInterval: 'often' }), {
      code: 'ERR_UPWIRE_INVALID_OPTION',
    })
    assert.throws(() => attach(server, { httpCompression: true }), {
      code: 'ERR_UPWIRE_UNSUPPORTED_OPTION',
    })
    assert.equal(server.emit, emit)
    assert.equal(server.close, close)
    assert.deepEqual(
      server.eventNames().map((name) => [name, server.listenerCount(name)]),
      listeners,
    )
    const io = attach(server)
    t.after(() => io.close())
    await connect(t, `http://127.0.0.1:${await listen(server)}`)
  })

  test('values that have only one meaning are taken', async (t) => {
    const given = {
      cors: '*',
      maxHttpBufferSize: Infinity,
      pingInterval: 0,
      pingTimeout: Infinity,
      transports: 'websocket',
    }
    const { engine } = await serve(t, given)
    const { cors, maxHttpBufferSize, pingInterval, pingTimeout, transports } = engine.opts
    assert.deepEqual(cors, { origin: '*' })
    assert.ok(maxHttpBufferSize > 500_000_000)
    assert.equal(pingInterval, 1)
    assert.deepEqual(transports, ['websocket'])
    const never = await serve(t, { pingInterval: Infinity })
    const longest = never.engine.opts.pingInterval + pingTimeout
    assert.ok(longest > 1_000_000_000 && longest < 2 ** 31, 'a client passes it to a timer')
  })

  test('a client stays connected with a heartbeat that never ends, from any origin', async (t) => {
    const server = createServer()
    const io = attach(server, { cors: '*', pingInterval: Infinity, pingTimeout: Infinity })
    t.after(() => io.close())
    io.on('connection', (socket) => socket.on('echo', (value, reply) => reply(value)))
    const url = `http://127.0.0.1:${await listen(server)}`
    const extraHeaders = { Origin: 'https://elsewhere.example' }
    const socket = await connect(t, url, { extraHeaders })
    assert.equal(await socket.emitWithAck('echo', 'hello'), 'hello')
    // A timer of the client that overflowed would have ended the session within a millisecond.
    assert.ok(socket.connected)
  })

  test('engine.opts shows the options in force', async (t) => {
    const { engine } = await serve(t, { pingInterval: 4000, maxHttpBufferSize: 5000, own: 'kept' })
    const { opts } = engine
    assert.equal(opts.pingInterval, 4000)
    assert.equal(opts.pingTimeout, 20_000)
    assert.equal(opts.upgradeTimeout, 10_000)
    assert.equal(opts.maxHttpBufferSize, 5000)
    assert.equal(opts.maxReceiveQueue, 1024 * 1024)
    assert.equal(opts.maxSendBuffer, 16 * 1024 * 1024)
    assert.ok(opts.maxTotalSendBuffer >= 256 * 1024 * 1024)
    assert.deepEqual(opts.transports, ['polling', 'websocket'])
    assert.equal(opts.allowUpgrades, true)
    assert.equal(opts.own, 'kept')
  })

  test('the given options object is not changed', async (t) => {
    const opts = Object.freeze({
      path: '/frozen',
      cors: Object.freeze({ origin: '*' }),
      transports: Object.freeze(['websocket']),
    })
    const { url } = await serve(t, opts)
    await connect(t, url, { path: '/frozen', transports: ['websocket'] })
    assert.deepEqual(Object.keys(opts), ['path', 'cors', 'transports'])
  })
})
