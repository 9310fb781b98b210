// The origin check over TLS and HTTP/2 and with the official clients, and its warnings
// (docs/protocol.md#origin).

import assert from 'node:assert/strict'
import http2 from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import { connect as connectTls } from 'node:tls'
import { describe, test } from 'node:test'
import { Socket } from 'engine.io-client'
import { io as connectSocket } from 'socket.io-client'
import { Engine, attach } from 'upwire'
import originList from '../../lib/admission/origin/list.js'
import { cert, key } from '../support/certificate.mjs'
import { serve, serveEngine } from '../support/servers.mjs'
import { App } from '../support/app.mjs'
import { event, until } from '../support/events.mjs'
import { POLLING, WEBSOCKET, request, response } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'
import { HOST, OWN, EVIL, upgrade } from '../support/origin-requests.mjs'

describe('TLS', () => {
  /** A server with TLS on its own connections, and a function that sends it a request. */
  async function tls(t) {
    const served = await serveEngine(t, {}, createTlsServer({ key, cert }))
    const status = async (bytes) => {
      const socket = connectTls({ port: served.port, host: '127.0.0.1', rejectUnauthorized: false })
      await event(socket, 'secureConnect')
      socket.write(bytes)
      const answer = await response(new Peer(socket))
      socket.destroy()
      return answer.status
    }
    return status
  }

  test('the scheme of the Origin must be https with TLS', async (t) => {
    const status = await tls(t)
    const polling = (headers) => request(`GET ${POLLING}`, headers)
    const websocket = (headers) => upgrade(WEBSOCKET, headers)
    for (const [ask, taken] of [
      [polling, 200],
      [websocket, 101],
    ]) {
      for (const host of ['app.example:8443', 'app.example:443', 'app.example']) {
        const authority = host.replace(':443', '')
        assert.equal(await status(ask({ Host: host, Origin: `https://${authority}` })), taken)
        assert.equal(await status(ask({ Host: host, Origin: `http://${authority}` })), 403)
      }
      const forwarded = { Host: 'x', 'X-Forwarded-Host': 'app.example' }
      assert.equal(await status(ask({ ...forwarded, Origin: 'https://app.example' })), taken)
      assert.equal(await status(ask({ ...forwarded, Origin: 'http://app.example' })), 403)
      assert.equal(await status(ask({ Host: 'app.example' })), taken)
    }
  })
})

test('the authority takes the place of Host on HTTP/2', async (t) => {
  const engine = new Engine()
  const server = http2.createServer((req, res) => engine.handleRequest(req, res))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`)
  t.after(() => {
    engine.close()
    session.destroy()
    server.close()
  })
  const status = async (origin) => {
    const stream = session.request({ ':path': POLLING, ':authority': HOST, origin })
    const [headers] = await event(stream, 'response')
    stream.resume()
    return headers[':status']
  }
  assert.equal(await status(OWN), 200)
  assert.equal(await status(EVIL), 403)
})

describe('the official clients', () => {
  const TRANSPORTS = [['polling'], ['websocket'], ['polling', 'websocket']]

  /** Connects with an Origin; gives the final transport, or the status of the refusal. */
  async function outcome(t, url, transports, origin) {
    const near = new Socket(url, { transports, extraHeaders: { Origin: origin } })
    t.after(() => near.close())
    const errors = []
    near.on('error', (error) => errors.push(error))
    const wanted = transports.at(-1)
    await until(
      () => errors.length > 0 || (near.readyState === 'open' && near.transport.name === wanted),
      'an outcome',
    )
    return errors.length > 0 ? 'refused' : near.transport.name
  }

  for (const transports of TRANSPORTS) {
    test(`engine.io-client gets the same decision over ${transports}`, async (t) => {
      const { url } = await serveEngine(t, { allowedOrigins: ['https://site.example'] })
      const wanted = transports.at(-1)
      assert.equal(await outcome(t, url, transports, url), wanted)
      assert.equal(await outcome(t, url, transports, 'https://site.example'), wanted)
      assert.equal(await outcome(t, url, transports, EVIL), 'refused')
    })

    test(`socket.io-client gets the same decision over ${transports}`, async (t) => {
      const { io, url } = await serve(t, { cors: { origin: 'https://site.example' } })
      io.on('connection', (socket) => socket.on('ask', (answer) => answer('well')))
      const connect = (origin) => {
        const extraHeaders = { Origin: origin }
        const near = connectSocket(url, { transports, extraHeaders, reconnection: false })
        t.after(() => near.disconnect())
        return near
      }
      const near = connect('https://site.example')
      assert.equal(await near.timeout(5000).emitWithAck('ask'), 'well')
      const refused = connect(EVIL)
      await event(refused, 'connect_error')
      assert.equal(await near.timeout(5000).emitWithAck('ask'), 'well')
    })
  }
})

describe('warnings', () => {
  /** An app that reports its UPWIRE warnings; `options.engine` are the options of its engine. */
  const start = (t, engine, origins) =>
    App.start(
      t,
      async (options) => {
        process.on('warning', ({ name, code, message }) => {
          if (name === 'UpwireWarning') tell('warning', { code, message })
        })
        const { origin } = options
        const allowedOrigins =
          origin === 'failing' ? () => Promise.reject(new Error('no such tenant')) : origin
        const made = new Engine({ ...options.engine, allowedOrigins })
        const server = createServer()
        made.attach(server)
        tell('port', await listen(server))
      },
      { engine, origin: origins },
    )

  async function send(app, bytes, status) {
    const peer = await Peer.connect(app.port)
    const answer = await response(peer.write(bytes))
    peer.destroy()
    assert.equal(answer.status, status)
    return answer
  }

  const poll = (headers) => request(`GET ${POLLING}`, { Host: HOST, ...headers })

  test('the first refusal of an origin says what was compared and how to fix it', async (t) => {
    const app = await start(t)
    for (let n = 0; n < 3; n++) await send(app, poll({ Origin: EVIL }), 403)
    await send(app, poll({ Origin: 'http://a.example', 'X-Forwarded-Host': 'b.example' }), 403)
    await send(app, poll({ Origin: EVIL, Host: 'other.example' }), 403)
    await app.report('warning', 3)
    const [first, second, third] = app.values('warning')
    assert.equal(first.code, 'UPWIRE_ORIGIN')
    for (const part of [
      '"https://evil.example"',
      'Host "app.example:8080"',
      'X-Forwarded-Host none',
      'proxy_set_header Host $http_host',
      'allowedOrigins: ["https://evil.example"]',
    ]) {
      assert.ok(first.message.includes(part), `${part} in ${first.message}`)
    }
    assert.ok(!first.message.includes('polling'), first.message)
    assert.ok(second.message.includes('X-Forwarded-Host "b.example"'), second.message)
    for (const host of [EVIL, 'Host "other.example"']) assert.ok(third.message.includes(host))
    assert.equal(app.values('warning').length, 3, 'once for each pair of an origin and a host')
  })

  test('a refused upgrade says that the session stays on polling', async (t) => {
    const app = await start(t)
    const { text } = await send(app, poll({ Referer: `${OWN}/chat` }), 200)
    const { sid } = JSON.parse(text.slice(1))
    const headers = { Host: HOST, Origin: EVIL }
    await send(app, upgrade(`${WEBSOCKET}&sid=${sid}`, headers), 403)
    const { message } = await app.report('warning')
    assert.match(message, /a WebSocket from a page .* stay on polling/)
  })

  test('at most 16 origins are remembered, long ones are shortened, and an invalid one is no suggestion', async (t) => {
    const app = await start(t)
    await send(app, poll({ Origin: '*' }), 403)
    await send(app, poll({ Origin: `http://${'a'.repeat(5000)}` }), 403)
    for (let n = 0; n < 30; n++) await send(app, poll({ Origin: `http://${n}.example` }), 403)
    await app.report('warning', 16)
    await send(app, poll({ Origin: '*' }), 403)
    const warnings = app.values('warning')
    assert.equal(warnings.length, 16)
    assert.ok(!warnings[0].message.includes('allowedOrigins'), warnings[0].message)
    for (const { message } of warnings) assert.ok(message.length < 1000, message)
  })

  test('null is no suggestion, and control characters are not printed', async (t) => {
    const app = await start(t)
    await send(app, poll({ Origin: 'null' }), 403)
    await send(app, Buffer.from(poll({ Origin: 'http://a\x9b31m.example' }), 'latin1'), 403)
    await app.report('warning', 2)
    const [first, second] = app.values('warning').map(({ message }) => message)
    assert.ok(!first.includes('allowedOrigins'), first)
    assert.ok(second.includes('"http://a\\u009b31m.example"'), second)
  })

  test('a slash at the end of an origin, and any page with credentials, are reported', async (t) => {
    const slash = await start(t, {}, ['https://app.example/', 'file://'])
    const { code, message } = await slash.report('warning')
    assert.equal(code, 'UPWIRE_ORIGIN')
    assert.match(message, /"https:\/\/app\.example\/" in allowedOrigins/)
    const open = await start(t, { cors: { origin: true, credentials: true } })
    const warning = await open.report('warning')
    assert.equal(warning.code, 'UPWIRE_ORIGIN')
    assert.match(warning.message, /credentials/)
    const twice = await start(t, { cors: { origin: '*', credentials: true } }, '*')
    assert.match((await twice.report('warning')).message, /credentials/)
    for (const app of [slash, open, twice]) assert.equal(app.values('warning').length, 1)
  })

  test('correct settings print nothing', async (t) => {
    const app = await start(t, { cors: { origin: 'https://a.example', credentials: true } })
    await send(app, poll({ Origin: 'https://a.example' }), 200)
    await send(app, poll({ 'Sec-Fetch-Site': 'cross-site' }), 403)
    const listed = await start(t, { cors: { origin: '*', credentials: true } }, [
      'https://a.example',
    ])
    await send(listed, poll({ Origin: 'https://a.example' }), 200)
    for (const each of [app, listed]) assert.deepEqual(each.values('warning'), [])
  })

  test('a failing function without a listener causes one warning with its stack', async (t) => {
    const app = await start(t, {}, 'failing')
    for (let n = 0; n < 3; n++) await send(app, poll({ Origin: EVIL }), 403)
    const { code, message } = await app.report('warning')
    assert.equal(code, 'UPWIRE_ORIGIN')
    assert.match(message, /allowedOrigins failed: Error: no such tenant\n +at /)
    assert.equal(app.values('warning').length, 1)
  })
})

test('attach() passes the options on', async (t) => {
  const { url, server } = await serve(t, { allowedOrigins: [], requireOrigin: true })
  assert.equal(attach(server).engine.opts.requireOrigin, true)
  const near = connectSocket(url, { transports: ['websocket'], reconnection: false })
  t.after(() => near.disconnect())
  const [error] = await event(near, 'connect_error')
  assert.equal(error.type, 'TransportError')
})

describe('the URL standard', () => {
  const SCHEMES = ['http', 'https', 'ws', 'wss', 'HTTP', 'WSS', 'tauri', 'null', '', 'ht tp', '1a']
  const SEPARATORS = ['://', ':', ':/', '//', ':\\\\', '', ':///']
  const HOSTS = ['app.example', 'App.Example', 'a', '', '[::1]', '[', 'a_b', 'a@b', 'a%2eb', 'a b']
  const MORE_HOSTS = ['a,b', 'ä.b', 'a\\b', 'a:b@c', 'a\tb', '.', 'a..b']
  const PORTS = ['', ':', ':80', ':443', ':3000', ':99999', ':3000a', ':-1']
  const PATHS = ['', '/', '//', '/x', '?', '#', '\\', '@a.b', '.', ' ', ', http://a', '/@a.b']
  const MORE_PATHS = [
    '?@a.b',
    '#@a.b',
    '/x?y#z',
    '\\@a.b',
    '/\\a.b',
    '/ x',
    '/ä',
    '/:80',
    '?:80',
    '//a.b',
  ]
  const texts = product([
    SCHEMES,
    SEPARATORS,
    [...HOSTS, ...MORE_HOSTS],
    PORTS,
    [...PATHS, ...MORE_PATHS],
  ])

  /** Asserts that a text has the same parts to the URL standard. */
  function assertSameParts(text, { scheme, host, port }) {
    const url = new URL(text)
    const page = { 'ws:': 'http:', 'wss:': 'https:' }[url.protocol] ?? url.protocol
    assert.equal(`${scheme}:`, page, text)
    assert.equal(host ?? '', url.hostname.toLowerCase(), text)
    if (['http', 'https'].includes(scheme)) {
      assert.equal(port, url.port || { http: '80', https: '443' }[scheme], text)
    }
    assert.deepEqual([url.username, url.password], ['', ''], text)
    return url
  }

  test('reads every origin of a header in the same way', () => {
    let [plain, longer] = [0, 0]
    for (const text of texts) {
      const origin = originList.parseHeader(text)
      if (origin === undefined) continue
      const { pathname, search, hash } = assertSameParts(text, origin)
      if (pathname.length > 1 || search || hash) longer++
      else plain++
    }
    assert.ok(plain > 100 && longer > 500, `${plain} and ${longer} were accepted`)
  })

  test('reads every entry of a list in the same way, and entries have no path', () => {
    let taken = 0
    for (const text of texts.filter((each) => originList.isOrigin(each) && each !== 'null')) {
      taken++
      const origin = originList.parseHeader(text)
      const url = assertSameParts(text, origin)
      assert.deepEqual([url.search, url.hash], ['', ''], text)
      assert.ok(['', '/'].includes(url.pathname), text)
      assert.ok(new originList.OriginList([text]).has(text.replace(/(?<=[^/])\/$/, '')), text)
    }
    assert.ok(taken > 50, `${taken} were accepted`)
  })

  test('a list has exactly the texts that name one of its origins', () => {
    const list = new originList.OriginList(['https://app.example', 'http://a:3000', 'tauri://a'])
    const expected = new Set(['https://app.example', 'http://a:3000', 'tauri://a'])
    let found = 0
    for (const text of texts.filter((each) => list.has(each))) {
      found++
      const { protocol, host } = new URL(text.replace(/^ws/i, 'http'))
      assert.ok(expected.has(`${protocol}//${host.toLowerCase().replace(/:443$/, '')}`), text)
    }
    assert.ok(found > 50, `${found} were found`)
  })

  test('takes time in proportion to the length of a header', () => {
    const list = new originList.OriginList(['https://app.example', /^https:\/\/a$/])
    for (const part of ['/', '?#', '://', 'a.', ':1', 'ws:']) {
      const header = `https://a${part.repeat(16_000 / part.length)}ä`
      const started = performance.now()
      assert.equal(list.has(header), false)
      assert.ok(performance.now() - started < 200, part)
    }
  })
})

function product([first, ...rest]) {
  if (first === undefined) return ['']
  return product(rest).flatMap((tail) => first.map((head) => head + tail))
}
