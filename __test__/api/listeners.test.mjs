// upwire's own listeners on a server stand where engine.io's stand: prepended listeners, copies of `emit`
// and instrumentation work as with engine.io (docs/api.md, "Other listeners of the server").

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import http from 'node:http'
import { describe, test } from 'node:test'
import { attach } from 'upwire'
import { TRANSPORTS, client, connect, pair, settled } from '../support/clients.mjs'
import { event, until } from '../support/events.mjs'
import { fetchText, upgrade } from '../support/http.mjs'
import { Peer } from '../support/peer.mjs'
import { listen, pages, serve, shut } from '../support/servers.mjs'

const POLL = '/socket.io/?EIO=4&transport=polling'

/** Messages of warnings with a code that are printed during a test. */
function warnings(t, code) {
  const got = []
  const onWarning = (warning) => {
    if (warning.code === code) got.push(warning.message)
  }
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  return got
}

describe('a prepended listener for requests', () => {
  test('may rewrite the URL into the engine’s path, and out of it', async (t) => {
    const { server, url } = await serve(t)
    server.prependListener('request', (req) => {
      if (req.url.startsWith('/proxied/')) req.url = req.url.slice('/proxied'.length)
      else if (req.url.startsWith('/socket.io/?away')) req.url = '/away'
    })
    const opened = await fetchText(`${url}/proxied${POLL}`)
    assert.match(opened.text, /^0\{"sid"/)
    assert.equal((await fetchText(`${url}/socket.io/?away&EIO=4`)).text, 'page /away')
  })

  test('may set Connection: close on the engine’s responses', async (t) => {
    const { server, url } = await serve(t)
    server.prependListener('request', (_req, res) => res.setHeader('Connection', 'close'))
    const peer = await Peer.connect(new URL(url).port)
    t.after(() => peer.destroy())
    peer.write(`GET ${POLL} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await peer.ending()
    assert.match(peer.unread, /^HTTP\/1\.1 200 OK\r\n.*Connection: close\r\n.*0\{"sid"/s)
  })

  test('may answer itself, after which the engine leaves the request alone', async (t) => {
    const { server, url, engine } = await serve(t)
    server.prependListener('request', (_req, res) => res.writeHead(418).end('mine'))
    assert.deepEqual([(await fetchText(`${url}${POLL}`)).status, engine.clientsCount], [418, 0])
  })
})

describe('the app’s listeners for requests', () => {
  test('can be removed, replaced and added as without upwire', async (t) => {
    const first = (_req, res) => res.end('first')
    const server = http.createServer(first)
    const { url, io } = await serve(t, {}, server)
    assert.ok(server.listeners('request').includes(first))
    server.off('request', first)
    server.on('request', (_req, res) => res.end('second'))
    assert.equal((await fetchText(`${url}/`)).text, 'second')
    server.removeAllListeners('request')
    const once = []
    server.once('request', (req) => once.push(req.url))
    server.on('request', (_req, res) => res.end('third'))
    await pair(t, { io, url }, { transports: ['polling'] })
    assert.deepEqual(once, [], 'a request of the engine does not use up a listener')
    assert.equal((await fetchText(`${url}/a`)).text, 'third')
    assert.equal((await fetchText(`${url}/b`)).text, 'third')
    assert.deepEqual(once, ['/a'])
  })
})

describe('emit', () => {
  test('as bound before attach serves the engine’s requests and upgrades', async (t) => {
    const server = pages()
    const second = http.createServer(server.emit.bind(server, 'request'))
    second.on('upgrade', server.emit.bind(server, 'upgrade'))
    const io = attach(server)
    const port = await listen(second)
    t.after(async () => {
      await io.close()
      await shut(second)
    })
    const url = `http://127.0.0.1:${port}`
    for (const { transports, settles } of TRANSPORTS) {
      const { near } = await pair(t, { io, url }, { transports })
      await settled(near, settles)
    }
    assert.equal((await fetchText(`${url}/p`)).text, 'page /p')
  })

  test('as patched on the prototype sees the engine’s requests and is around `connection`', async (t) => {
    const storage = new AsyncLocalStorage()
    const { emit } = http.Server.prototype
    t.after(() => {
      http.Server.prototype.emit = emit
    })
    const seen = []
    http.Server.prototype.emit = function (type, req, ...rest) {
      if (type !== 'request' && type !== 'upgrade') return emit.call(this, type, req, ...rest)
      seen.push(type)
      return storage.run(`${type} ${req.url.split('?')[0]}`, () =>
        emit.call(this, type, req, ...rest),
      )
    }
    const { io, url } = await serve(t)
    for (const [transport, type] of [
      ['polling', 'request'],
      ['websocket', 'upgrade'],
    ]) {
      const arrival = new Promise((resolve) =>
        io.engine.once('connection', () => resolve(storage.getStore())),
      )
      await connect(t, url, { transports: [transport] })
      assert.equal(await arrival, `${type} /socket.io/`)
      assert.ok(seen.includes(type))
    }
  })
})

describe('a prepended listener for upgrades', () => {
  test('may refuse a client, and lets others in', async (t) => {
    const { server, io, url } = await serve(t)
    server.prependListener('upgrade', (req, socket) => {
      if (!req.url.includes('token=good')) socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n')
    })
    const refused = await upgrade(url, { path: '/socket.io/?EIO=4&transport=websocket' })
    assert.equal(refused.status, 401)
    const { near } = await pair(
      t,
      { io, url },
      { transports: ['websocket'], query: { token: 'good' } },
    )
    assert.ok(near.connected)
    assert.equal(io.engine.clientsCount, 1)
  })

  test('may destroy the socket', async (t) => {
    const { server, io, url } = await serve(t)
    server.prependListener('upgrade', (_req, socket) => socket.destroy())
    const near = client(t, url, { transports: ['websocket'] })
    await event(near, 'connect_error')
    assert.equal(io.engine.clientsCount, 0)
  })

  test('may take the upgrade for itself', async (t) => {
    const { server, io, port } = await serve(t)
    server.prependListener('upgrade', (_req, socket) => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n',
      )
      socket.pipe(socket)
    })
    const peer = await Peer.connect(port)
    t.after(() => peer.destroy())
    peer.write(
      'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    )
    await until(() => peer.unread.includes('101'), 'the answer')
    peer.write('hello')
    await until(() => peer.unread.endsWith('\r\n\r\nhello'), 'the echo')
    assert.equal(io.engine.clientsCount, 0)
    peer.destroy()
  })

  test('may rewrite the URL into the engine’s path', async (t) => {
    const { server, io, url } = await serve(t, { destroyUpgradeTimeout: 50 })
    server.prependListener('upgrade', (req) => {
      req.url = req.url.replace(/^\/proxied/, '')
    })
    const { near, far } = await pair(
      t,
      { io, url },
      { path: '/proxied/socket.io', transports: ['websocket'] },
    )
    // Past the time after which an upgrade without an owner is refused.
    assert.equal((await upgrade(url, { path: '/unknown' })).status, 404)
    far.on('echo', (value, ack) => ack(value))
    assert.equal(await near.timeout(5000).emitWithAck('echo', 'x'), 'x')
  })
})

describe('upwire’s listener for upgrades', () => {
  test('is not in the server’s lists, and adding it is no event', async (t) => {
    const server = pages()
    const theirs = () => {}
    const news = []
    server.on('upgrade', theirs)
    server.on('newListener', (type, listener) => type === 'upgrade' && news.push(listener))
    server.on('removeListener', (type, listener) => type === 'upgrade' && news.push(listener))
    const { io, url } = await serve(t, {}, server)
    const { near } = await pair(t, { io, url }, { transports: ['websocket'] })
    assert.ok(near.connected)
    assert.deepEqual(server.listeners('upgrade'), [theirs])
    assert.equal(server.rawListeners('upgrade').length, 1)
    assert.deepEqual(news, [])
    const other = () => {}
    server.on('upgrade', other)
    await pair(t, { io, url }, { transports: ['websocket'] })
    server.off('upgrade', theirs)
    assert.deepEqual(news, [other, theirs])
    assert.deepEqual(server.listeners('upgrade'), [other])
  })

  test('leaves requests that offer another protocol to the app', async (t) => {
    const { port, io, url } = await serve(t)
    const peer = await Peer.connect(port)
    t.after(() => peer.destroy())
    peer.write(
      'POST /form HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n' +
        'HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 3\r\n\r\nabc',
    )
    await until(() => peer.unread.includes('page /form'), 'the page')
    peer.write(
      'GET /again HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n',
    )
    await peer.ending()
    assert.match(peer.unread, /page \/again/)
    await pair(t, { io, url }, { transports: ['websocket'] })
  })
})

describe('the warning about a listener for upgrades', () => {
  test('names a listener that does not get the engine’s upgrades, once, with the cure', async (t) => {
    globalThis[Symbol.for('upwire.warned')].delete('unasked upgrade listener')
    const got = warnings(t, 'UPWIRE_UPGRADE_LISTENER')
    const server = pages()
    server.on('upgrade', (...args) => ({ handleUpgrade: () => {} }).handleUpgrade(...args))
    server.on('upgrade', function gate(req, socket) {
      if (!req.headers.cookie) socket.destroy()
    })
    const { io, url } = await serve(t, {}, server)
    for (let n = 0; n < 2; n++) await pair(t, { io, url }, { transports: ['websocket'] })
    await until(() => got.length > 0, 'the warning')
    assert.equal(got.length, 1)
    assert.match(got[0], /"gate".*allowRequest.*engine\.use/)
  })
})
