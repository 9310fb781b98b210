// Servers of all kinds, and several of them for one `io` (docs/api.md#attach).

import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { attach } from 'upwire'
import { cert, key } from '../support/certificate.mjs'
import { pair, works } from '../support/clients.mjs'
import { event } from '../support/events.mjs'
import { fetchText } from '../support/http.mjs'
import { listen, pages, serve, shut } from '../support/servers.mjs'

describe('a further server for the same io', () => {
  test('serves the same namespaces, and closes with io.close()', async (t) => {
    const { io, url, server } = await serve(t)
    const second = pages()
    assert.equal(io.attach(second), io)
    assert.equal(io.attach(second), io, 'a second call changes nothing')
    assert.equal(io.httpServer, second)
    const secondUrl = `http://127.0.0.1:${await listen(second)}`
    await works(t, io, url)
    await works(t, io, secondUrl)
    const a = await pair(t, { io, url }, { transports: ['websocket'] })
    const b = await pair(t, { io, url: secondUrl }, { transports: ['polling'] })
    const both = Promise.all([event(a.near, 'news'), event(b.near, 'news')])
    io.emit('news', 1)
    assert.deepEqual(await both, [[1], [1]])
    const reasons = Promise.all([event(a.far, 'disconnect'), event(b.far, 'disconnect')])
    const closed = io.close()
    assert.deepEqual(
      (await reasons).map(([reason]) => reason),
      ['server shutting down', 'server shutting down'],
    )
    await closed
    assert.deepEqual([server.listening, second.listening], [false, false])
  })

  test('may close alone', async (t) => {
    const { io, url } = await serve(t)
    const second = pages()
    io.attach(second)
    const secondUrl = `http://127.0.0.1:${await listen(second)}`
    const a = await pair(t, { io, url }, { transports: ['websocket'] })
    const b = await pair(t, { io, url: secondUrl }, { transports: ['websocket'] })
    const left = event(b.far, 'disconnect')
    await shut(second)
    assert.deepEqual((await left)[0], 'server shutting down')
    assert.ok(a.near.connected)
    await works(t, io, url)
  })

  for (const [name, start] of [
    ['io.listen(port)', (io) => io.listen(0)],
    ['io.attach("port")', (io) => io.attach('0')],
  ]) {
    test(`is made by ${name}`, async (t) => {
      const { io } = await serve(t)
      start(io)
      if (!io.httpServer.listening) await once(io.httpServer, 'listening')
      const url = `http://127.0.0.1:${io.httpServer.address().port}`
      await works(t, io, url)
      assert.equal((await fetchText(`${url}/`)).status, 404)
    })
  }

  test('must be a server', async (t) => {
    const { io } = await serve(t)
    for (const wrong of [() => {}, 'here', null, {}]) {
      assert.throws(() => io.attach(wrong), { code: 'ERR_UPWIRE_INVALID_SERVER' })
    }
  })
})

describe('one server', () => {
  test('may listen again after it has closed', async (t) => {
    const server = pages()
    const io = attach(server)
    for (let round = 0; round < 3; round++) {
      const port = await listen(server)
      await works(t, io, `http://127.0.0.1:${port}`)
      await shut(server)
    }
  })

  test('may listen on a Unix socket', async (t) => {
    const path = join(tmpdir(), `upwire-${process.pid}.sock`)
    const server = pages()
    const io = attach(server)
    server.listen(path)
    await once(server, 'listening')
    t.after(() => io.close())
    const req = http.get({ socketPath: path, path: '/socket.io/?EIO=4&transport=polling' })
    const [res] = await once(req, 'response')
    assert.match(String((await res.toArray())[0]), /^0\{"sid"/)
    const upgrade = http.get({
      socketPath: path,
      path: '/socket.io/?EIO=4&transport=websocket',
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': 13,
        'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      },
    })
    const [answer, socket] = await once(upgrade, 'upgrade')
    socket.destroy()
    assert.equal(answer.statusCode, 101)
  })

  test('may use TLS', async (t) => {
    const server = https.createServer({ cert, key }, (_req, res) => res.end('page'))
    const io = attach(server)
    const port = await listen(server)
    t.after(() => io.close())
    await works(t, io, `https://localhost:${port}`, { rejectUnauthorized: false })
  })

  for (const [name, handler] of [
    ['with a handler', [(_req, res) => res.end('page')]],
    ['without a handler', []],
  ]) {
    test(`may speak HTTP/2 and HTTP/1, ${name}`, async (t) => {
      const server = http2.createSecureServer({ cert, key, allowHTTP1: true }, ...handler)
      const io = attach(server)
      const port = await listen(server)
      t.after(() => io.close())
      await works(t, io, `https://localhost:${port}`, { rejectUnauthorized: false })
      const session = http2.connect(`https://localhost:${port}`, { rejectUnauthorized: false })
      const stream = session.request({ ':path': '/socket.io/?EIO=4&transport=polling' })
      const [headers] = await once(stream, 'response')
      assert.equal(headers[':status'], 200)
      stream.setEncoding('utf8')
      assert.match((await stream.toArray()).join(''), /^0\{"sid"/)
      session.destroy()
    })
  }
})
