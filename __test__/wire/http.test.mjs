// HTTP and the handshake (docs/protocol.md#handshake-and-http).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { accepted, openPolling, opened } from '../support/engine-clients.mjs'
import { deferred, until } from '../support/events.mjs'
import { OP, frame, text } from '../support/frames.mjs'
import {
  KEY,
  POLLING,
  UPGRADE,
  WEBSOCKET,
  get,
  post,
  request,
  response,
  upgrade,
} from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

const HOST = { Host: '127.0.0.1' }

/** Checks that Node refuses a request by itself, before anything reaches the engine. */
async function assertNodeRefuses(world, bytes, status = 400) {
  const peer = await world.peer(bytes)
  const answer = await response(peer)
  assert.equal(answer.status, status)
  assert.equal(answer.headers.connection, 'close')
  assert.equal((await peer.rest()).length, 0)
  world.assertUntouched()
}

/** Checks that an upgrade is refused before the 101, with a short and final plain HTTP answer. */
async function assertUpgradeRefused(peer, status, body) {
  const answer = await response(peer)
  assert.equal(answer.status, status, `${answer.line} ${answer.text}`)
  assert.equal(answer.headers.connection, 'close')
  assert.equal(answer.headers['content-type'], 'text/html')
  assert.equal(Number(answer.headers['content-length']), answer.body.length)
  if (body !== undefined) assert.equal(answer.text, body)
  assert.equal((await peer.rest()).length, 0, 'nothing follows a refusal')
  assert.equal(peer.ended, 'fin')
  return answer
}

/** Checks that a polling request is refused with a code. */
async function assertRefused(peer, status, code, message) {
  const answer = await response(peer)
  assert.equal(answer.status, status, `${answer.line} ${answer.text}`)
  assert.match(answer.headers['content-type'], /^application\/json/)
  assert.equal(answer.text, JSON.stringify({ code, message }))
  return answer
}

describe('Node answers malformed HTTP, and none of it reaches the engine', () => {
  const line = `GET ${POLLING} HTTP/1.1\r\n`
  const wsLine = `GET ${WEBSOCKET} HTTP/1.1\r\n`
  const host = 'Host: 127.0.0.1\r\n'
  const postLine = `POST ${POLLING}&sid=AAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\n`
  const inputs = {
    'NUL in the target': `GET ${POLLING}\0 HTTP/1.1\r\n${host}\r\n`,
    'a control byte in the target': `GET ${POLLING}\x01 HTTP/1.1\r\n${host}\r\n`,
    'no target': 'GET  HTTP/1.1\r\n\r\n',
    'an unknown version': `GET ${POLLING} HTTP/3.7\r\n${host}\r\n`,
    'an unknown method': `GRAB ${POLLING} HTTP/1.1\r\n${host}\r\n`,
    'NUL in a header': `${line}${host}X-A: a\0b\r\n\r\n`,
    'a control byte in a header': `${line}${host}X-A: a\x01b\r\n\r\n`,
    'a control byte in Origin': `${line}${host}Origin: http://a\x01b\r\n\r\n`,
    'a space before the colon': `${line}${host}X-A : a\r\n\r\n`,
    'no colon': `${line}${host}X-A\r\n\r\n`,
    'a bare CR': `${line}${host}X-A: a\rX-B: b\r\n\r\n`,
    'a bare CR in an upgrade': `${wsLine}${host}Upgrade: websocket\rConnection: Upgrade\r\n\r\n`,
    'an obsolete line fold at the start': `${line} X-A: a\r\n${host}\r\n`,
    'Content-Length and Transfer-Encoding': `${postLine}${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'two different Content-Length': `${postLine}${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\n4hello`,
    'a negative Content-Length': `${postLine}${host}Content-Length: -1\r\n\r\n`,
    'a Content-Length that is not a number': `${postLine}${host}Content-Length: 0x5\r\n\r\n4hell`,
    'a chunked coding that is not the last': `${postLine}${host}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`,
  }
  for (const [name, bytes] of Object.entries(inputs)) {
    wire(name, {}, (world) => assertNodeRefuses(world, bytes))
  }

  // Node emits a request whose body turns out to be bad; none of that body may reach the engine.
  const bodies = {
    'a bad chunk size': ['chunked', '3\r\n4ab\r\nzz\r\n4evil\r\n0\r\n\r\n'],
    'a chunk size that overflows': ['chunked', 'fffffffffffffffff\r\n4evil'],
    'a chunk longer than its size': ['chunked', '3\r\n4evil\r\n0\r\n\r\n'],
    'an unknown Transfer-Encoding': ['chunky', '5\r\n4evil\r\n0\r\n\r\n'],
  }
  for (const [name, [encoding, body]] of Object.entries(bodies)) {
    wire(
      `closes a session once, without a packet, for ${name} in a POST: 400`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const headers = { ...HOST, 'Transfer-Encoding': encoding }
        const peer = await world.peer(request(`POST ${client.target}`, headers), body)
        assert.equal((await response(peer)).status, 400)
        assert.equal((await peer.rest()).length, 0)
        const { reason, description } = await client.session.closed()
        assert.equal(reason, 'transport error')
        assert.match(description.message, /closed prematurely/)
        assert.deepEqual(client.session.messages, [])
      },
    )
  }
})

describe('requests that are too long, incomplete or not HTTP', () => {
  wire('answers headers of more than 16 KiB with 431', {}, async (world) => {
    await assertNodeRefuses(
      world,
      request(`GET ${POLLING}`, { ...HOST, 'X-A': 'a'.repeat(17_000) }),
      431,
    )
  })

  wire('answers upgrade headers of more than 16 KiB with 431', {}, async (world) => {
    await assertNodeRefuses(world, upgrade(WEBSOCKET, { 'X-A': 'a'.repeat(17_000) }), 431)
  })

  const impatient = { serverOptions: { headersTimeout: 150, connectionsCheckingInterval: 50 } }
  wire('answers half a request with 408 or a close', impatient, async (world) => {
    const peer = await world.peer(`GET ${WEBSOCKET} HTTP/1.1\r\nHost: 127.`)
    const answer = (await peer.rest()).toString()
    assert.match(answer, /^(HTTP\/1\.1 408 .*|)/)
    assert.equal(peer.ended, 'fin')
    world.assertUntouched()
  })

  wire('closes a connection without a request', impatient, async (world) => {
    const peer = await world.peer()
    await peer.rest()
    world.assertUntouched()
  })

  const hello = '16030100c8010000c40303'.padEnd(420, 'ab')
  for (const [name, bytes] of Object.entries({
    'a TLS hello': Buffer.from(hello, 'hex'),
    'the HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
    noise: Buffer.from(Array.from({ length: 512 }, (_, index) => (index * 73 + 129) & 255)),
    'a WebSocket frame': text('4hello'),
  })) {
    wire(`answers ${name} with 400 and closes`, {}, (world) => assertNodeRefuses(world, bytes))
  }

  /** Newer versions of Node answer 431 where older ones drop surplus headers. */
  async function assertTooManyHeaders(world, peer) {
    const { status } = await response(peer)
    assert.ok(status === 400 || status === 431, `status ${status}`)
    assert.deepEqual(world.sessions, [])
    world.server.maxHeadersCount = 2000
  }

  for (let kept = 1; kept <= 4; kept++) {
    wire(
      `refuses an upgrade when only ${kept} of 5 upgrade headers fit, without throwing`,
      {},
      async (world) => {
        world.server.maxHeadersCount = kept
        await assertTooManyHeaders(world, await world.peer(upgrade()))
      },
    )
  }

  wire(
    'refuses an upgrade with more than maxHeadersCount headers before the upgrade headers',
    {},
    async (world) => {
      world.server.maxHeadersCount = 20
      const fill = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`X-${index}`, 'a']))
      const peer = await world.peer(request(`GET ${WEBSOCKET}`, { ...fill, ...UPGRADE }))
      await assertTooManyHeaders(world, peer)
    },
  )

  /** This many headers of four bytes each, as properties to spread into a request's headers. */
  const fill = (count) => ({ a: Array.from({ length: count }, () => 'b') })
  const host = { Host: '127.0.0.1' }
  const late = {
    Origin: { Origin: 'http://evil.example' },
    'Transfer-Encoding': { 'Transfer-Encoding': 'chunked' },
    'Content-Length': { 'Content-Length': '6' },
  }
  // Without a limit of the server's own, Node keeps 2000 names and values.
  for (const [limit, most] of Object.entries({ null: 1000, 64: 64, 2000: 2000 })) {
    for (const [name, header] of Object.entries(late)) {
      wire(`sends no 101 when ${name} comes behind maxHeadersCount ${limit}`, {}, async (world) => {
        world.server.maxHeadersCount = JSON.parse(limit)
        const headers = { ...UPGRADE, ...fill(most - 5), ...header }
        const peer = await world.peer(request(`GET ${WEBSOCKET}`, headers))
        await assertTooManyHeaders(world, peer)
      })
    }

    wire(
      `opens no polling session when an Origin comes behind maxHeadersCount ${limit}`,
      {},
      async (world) => {
        world.server.maxHeadersCount = JSON.parse(limit)
        const headers = { ...host, ...fill(most - 1), ...late.Origin }
        const peer = await world.peer(request(`GET ${POLLING}`, headers))
        await assertTooManyHeaders(world, peer)
      },
    )

    wire(
      `refuses a request that reaches maxHeadersCount ${limit} with 400, and accepts one header fewer`,
      {},
      async (world) => {
        world.server.maxHeadersCount = JSON.parse(limit)
        const ask = (target, headers, count) =>
          world.peer(
            request(`GET ${target}`, { ...headers, ...fill(count - Object.keys(headers).length) }),
          )
        for (const [target, headers] of [
          [POLLING, host],
          [WEBSOCKET, UPGRADE],
        ]) {
          const refused = await response(await ask(target, headers, most))
          assert.deepEqual([refused.status, refused.headers.connection], [400, 'close'])
          const { code, context } = await world.refusal()
          assert.deepEqual([code, context], [3, { name: 'TOO_MANY_HEADERS' }])
        }
        assert.deepEqual(world.sessions, [])
        assert.equal((await response(await ask(POLLING, host, most - 1))).status, 200)
        await opened(await ask(WEBSOCKET, UPGRADE, most - 1))
      },
    )
  }

  wire('has no limit with maxHeadersCount 0', {}, async (world) => {
    world.server.maxHeadersCount = 0
    const many = fill(2500)
    const peer = await world.peer(
      request(`GET ${WEBSOCKET}`, { ...UPGRADE, ...many, ...late.Origin }),
    )
    assert.equal((await response(peer)).status, 403)
    await opened(await world.peer(request(`GET ${WEBSOCKET}`, { ...UPGRADE, ...many })))
  })
})

describe('an upgrade request', () => {
  const malformed = {
    'Upgrade: h2c': { Upgrade: 'h2c' },
    'Upgrade: websocketx': { Upgrade: 'websocketx' },
    'Upgrade: xwebsocket': { Upgrade: 'xwebsocket' },
    'Upgrade: web socket': { Upgrade: 'web socket' },
    'Upgrade with a list': { Upgrade: 'websocket, h2c' },
    'Upgrade twice': { Upgrade: ['websocket', 'websocket'] },
    'Upgrade with a name of Object.prototype': { Upgrade: 'constructor' },
    'no Host': { Host: undefined },
    'two different Host headers': { Host: ['127.0.0.1', 'evil.example'] },
    'two equal Host headers': { Host: ['127.0.0.1', '127.0.0.1'] },
    'Transfer-Encoding': { 'Transfer-Encoding': 'chunked' },
    'Transfer-Encoding: identity': { 'Transfer-Encoding': 'identity' },
    'a Content-Length': { 'Content-Length': '6' },
  }
  for (const [name, headers] of Object.entries(malformed)) {
    wire(`gets 400: ${name}`, {}, async (world) => {
      const peer = await world.peer(upgrade(WEBSOCKET, headers), text('4smuggled'))
      const answer = await response(peer)
      assert.equal(answer.status, 400, `${answer.line} ${answer.text}`)
      assert.equal((await peer.rest()).length, 0)
      assert.deepEqual(world.sessions, [])
    })
  }

  wire('gets 400 with HTTP/1.0', {}, async (world) => {
    const peer = await world.peer(request(`GET ${WEBSOCKET} HTTP/1.0`, UPGRADE))
    await assertUpgradeRefused(peer, 400)
    assert.deepEqual(world.sessions, [])
  })

  for (const value of ['keep-alive', 'close', 'Upgraded']) {
    wire(`gets 400 with Connection: ${value}, which has no Upgrade token`, {}, async (world) => {
      const peer = await world.peer(upgrade(WEBSOCKET, { Connection: value }))
      await assertRefused(peer, 400, 3, 'Bad request')
      assert.deepEqual(world.sessions, [])
    })
  }

  for (const [name, headers] of Object.entries({
    'Upgrade: WebSocket': { Upgrade: 'WebSocket' },
    'Connection: keep-alive, Upgrade': { Connection: 'keep-alive, Upgrade' },
    'Connection: UPGRADE': { Connection: 'UPGRADE' },
    'Content-Length: 0': { 'Content-Length': '0' },
  })) {
    wire(`gets 101: ${name}`, {}, async (world) => {
      await opened(await world.peer(upgrade(WEBSOCKET, headers)))
    })
  }

  for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH', 'PROPFIND']) {
    wire(`gets 400 with code 2 for ${method}`, {}, async (world) => {
      const peer = await world.peer(upgrade(WEBSOCKET, {}, method))
      await assertUpgradeRefused(peer, 400, 'Bad handshake method')
      assert.deepEqual(await world.refusal(), {
        code: 2,
        message: 'Bad handshake method',
        context: { method },
      })
    })
  }

  const keys = {
    missing: undefined,
    empty: '',
    'sent twice': [KEY, KEY],
    'not base64': 'dGhlIHNhbXBsZSBub25jZ!==',
    'base64 of 15 bytes': Buffer.alloc(15, 7).toString('base64'),
    'base64 of 17 bytes': Buffer.alloc(17, 7).toString('base64'),
    'without its padding': KEY.slice(0, -2),
    'with bytes appended': `${KEY}AAAA`,
    'very long': 'A'.repeat(8000),
  }
  for (const [name, key] of Object.entries(keys)) {
    wire(`gets 400 for a Sec-WebSocket-Key that is ${name}`, {}, async (world) => {
      const peer = await world.peer(upgrade(WEBSOCKET, { 'Sec-WebSocket-Key': key }))
      await assertUpgradeRefused(peer, 400, 'Missing or invalid Sec-WebSocket-Key header')
      assert.equal((await world.refusal()).code, 3)
      assert.deepEqual(world.sessions, [])
    })
  }

  for (const version of [
    undefined,
    '',
    '8',
    '0',
    '7',
    '12',
    '14',
    '013',
    '13.0',
    '13, 8',
    'constructor',
    ['13', '13'],
  ]) {
    wire(
      `gets 400 that names version 13 for Sec-WebSocket-Version ${JSON.stringify(version)}`,
      {},
      async (world) => {
        const peer = await world.peer(upgrade(WEBSOCKET, { 'Sec-WebSocket-Version': version }))
        const answer = await assertUpgradeRefused(peer, 400)
        assert.equal(answer.headers['sec-websocket-version'], '13')
        assert.equal((await world.refusal()).code, 3)
        assert.deepEqual(world.sessions, [])
      },
    )
  }

  for (const [offer, chosen] of Object.entries({
    chat: 'chat',
    'chat, superchat': 'chat',
    'b,a,c': 'b',
    "!#$%&'*+-.^_`|~09azAZ": "!#$%&'*+-.^_`|~09azAZ",
    'constructor, __proto__': 'constructor',
  })) {
    wire(`gets the first of Sec-WebSocket-Protocol ${offer} back`, {}, async (world) => {
      const peer = await world.peer(upgrade(WEBSOCKET, { 'Sec-WebSocket-Protocol': offer }))
      assert.equal((await accepted(peer)).headers['sec-websocket-protocol'], chosen)
    })
  }

  for (const offer of [
    '',
    ',',
    'a,',
    ',a',
    'a,,b',
    'a b',
    'a;b',
    'a/b',
    '"a"',
    'a, a',
    'a, b, a',
    'caf\xe9',
    ['a', 'a'],
  ]) {
    wire(`gets 400 for Sec-WebSocket-Protocol ${JSON.stringify(offer)}`, {}, async (world) => {
      const peer = await world.peer(upgrade(WEBSOCKET, { 'Sec-WebSocket-Protocol': offer }))
      await assertUpgradeRefused(peer, 400)
      assert.equal((await world.refusal()).code, 3)
      assert.deepEqual(world.sessions, [])
    })
  }

  wire(
    'gets a Sec-WebSocket-Protocol of 15 KB of spaces, commas or tokens parsed in linear time',
    {},
    async (world) => {
      const offers = [
        `a${' '.repeat(15_000)}b`,
        `${' ,'.repeat(7500)}a`,
        Array.from({ length: 3000 }, (_, index) => `t${index}`).join(','),
      ]
      const started = performance.now()
      for (const offer of offers) {
        await response(await world.peer(upgrade(WEBSOCKET, { 'Sec-WebSocket-Protocol': offer })))
      }
      assert.ok(performance.now() - started < 2000, 'three offers within two seconds')
    },
  )

  for (const offer of [
    'permessage-deflate',
    'permessage-deflate; client_max_window_bits, x-webkit-deflate-frame',
    'constructor, __proto__; __proto__=1, hasOwnProperty',
    ';;;===,,,"',
  ]) {
    wire(
      `agrees on no extension for Sec-WebSocket-Extensions ${offer}, which is not read`,
      {},
      async (world) => {
        const peer = await world.peer(upgrade(WEBSOCKET, { 'Sec-WebSocket-Extensions': offer }))
        assert.equal((await accepted(peer)).headers['sec-websocket-extensions'], undefined)
      },
    )
  }
})

describe('bytes around an upgrade', () => {
  wire(
    'delivers frames from the segment of the request after the open packet, in order',
    {},
    async (world) => {
      const messages = Array.from({ length: 50 }, (_, index) => `early ${index}`)
      const frames = messages.map((message) => text(`4${message}`))
      const peer = await world.peer(upgrade(), ...frames, frame(OP.PING, 'p'))
      await opened(peer)
      const session = await world.session()
      assert.deepEqual(await session.received(50), messages)
      assert.deepEqual(await peer.read(3), Buffer.from([0x8a, 1, 0x70]))
      peer.write(text('4later'))
      assert.equal((await session.received(51)).at(-1), 'later')
    },
  )

  wire('reads all of 200 KB of frames behind the request', {}, async (world) => {
    const frames = Array.from({ length: 200 }, (_, index) => text(`4${index} ${'x'.repeat(1000)}`))
    const peer = await world.peer(upgrade(), ...frames)
    await opened(peer)
    const session = await world.session()
    await session.received(200)
    session.messages.forEach((message, index) => assert.ok(message.startsWith(`${index} `)))
  })

  wire('reads a frame whose second half comes later', {}, async (world) => {
    const bytes = text('4halved')
    const peer = await world.peer(upgrade(), bytes.subarray(0, 5))
    await opened(peer)
    peer.write(bytes.subarray(5))
    assert.deepEqual(await (await world.session()).received(1), ['halved'])
  })

  wire('accepts an upgrade behind a request that has been answered', {}, async (world) => {
    const peer = await world.peer(get('/page'))
    assert.equal((await response(peer)).text, 'page /page')
    peer.write(upgrade())
    await opened(peer)
  })

  for (const count of [1, 2]) {
    wire(
      `refuses an upgrade behind ${count} unanswered request(s) with 400 after their answers`,
      {},
      async (world) => {
        const held = []
        world.server.removeAllListeners('request')
        world.server.on('request', (req, res) => held.push([req, res]))
        const requests = Array.from({ length: count }, (_, index) => get(`/slow${index}`))
        const peer = await world.peer(...requests, upgrade(), text('4smuggled'))
        await until(() => held.length === count, 'the earlier requests')
        await world.refusal()
        for (const [req, res] of held) res.end(`page ${req.url}`)
        for (let index = 0; index < count; index++) {
          const earlier = await response(peer)
          assert.deepEqual([earlier.status, earlier.text], [200, `page /slow${index}`])
        }
        await assertUpgradeRefused(peer, 400)
        assert.deepEqual(world.sessions, [])
      },
    )
  }

  wire('refuses an upgrade behind a parked GET with 400 after its answer', {}, async (world) => {
    const client = await openPolling(world)
    const peer = await world.peer(get(client.target), client.upgradeRequest())
    await world.refusal()
    assert.equal(peer.buffered, 0)
    client.session.socket.send('news')
    assert.equal((await response(peer)).text, '4news')
    await assertUpgradeRefused(peer, 400)
    await client.prove()
  })
})

describe('a client that leaves during a step of its handshake', () => {
  /** Options whose step waits for the test, except for the good client. */
  function held(step) {
    const gate = deferred()
    const entered = deferred()
    const wait = (req, done) => {
      if (req._query.good !== undefined) return done()
      entered.resolve()
      gate.promise.then(done)
    }
    const options = {}
    if (step === 'allowRequest')
      options.allowRequest = (req, done) => wait(req, () => done(null, true))
    const prepare = ({ engine }) => {
      if (step === 'middleware') engine.use((req, _res, next) => wait(req, () => next()))
      if (step !== 'generateId') return
      const { generateId } = engine
      engine.generateId = (req) =>
        new Promise((resolve) => wait(req, () => resolve(generateId.call(engine, req))))
    }
    return { options, prepare, gate, entered }
  }

  for (const step of ['middleware', 'allowRequest', 'generateId']) {
    for (const [transport, bytes] of [
      ['polling', get(POLLING)],
      ['websocket', upgrade()],
    ]) {
      for (const leave of ['reset', 'finish', 'destroy']) {
        const { options, prepare, gate, entered } = held(step)
        wire(
          `leaves no session and has its answer ignored: ${transport}, ${leave} during ${step}`,
          options,
          async (world) => {
            world.goodQuery = { good: 1 }
            prepare(world)
            const peer = await world.peer(bytes)
            await entered.promise
            peer[leave]()
            // After `finish` the peer still reads and sees the end; the other ways only the server
            // sees.
            if (leave === 'finish')
              assert.doesNotMatch((await peer.rest()).toString(), /^HTTP\/1\.1 (101|200)/)
            else
              await until(
                () => connections(world).then((count) => count === 0),
                'the server to see it',
              )
            gate.resolve()
            await world.proveGood()
            assert.equal(world.sessions.length, 1, 'only the good client has a session')
          },
        )
      }
    }
  }

  function connections({ server }) {
    return new Promise((resolve, reject) => {
      server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
    })
  }

  for (const [name, bytes] of [
    ['polling', get(POLLING)],
    ['websocket', upgrade()],
    ['a page', get('/')],
    ['half an upgrade', upgrade().subarray(0, 80)],
  ]) {
    wire(`does no harm with 50 resets right behind the request: ${name}`, {}, async (world) => {
      for (let round = 0; round < 50; round++) {
        const peer = await world.peer(bytes)
        await peer.flushed()
        peer.reset()
      }
    })
  }
})

describe('the query', () => {
  const unknown = {
    missing: '/engine.io/?EIO=4',
    empty: '/engine.io/?EIO=4&transport=',
    unknown: '/engine.io/?EIO=4&transport=carrier-pigeon',
    constructor: '/engine.io/?EIO=4&transport=constructor',
    __proto__: '/engine.io/?EIO=4&transport=__proto__',
    toString: '/engine.io/?EIO=4&transport=toString',
    'in another case': '/engine.io/?EIO=4&transport=Polling',
    'with a space': '/engine.io/?EIO=4&transport=polling%20',
    'with NUL': '/engine.io/?EIO=4&transport=polling%00',
    'unknown in its last value': '/engine.io/?EIO=4&transport=polling&transport=bogus',
  }
  for (const [name, target] of Object.entries(unknown)) {
    const transport = new URLSearchParams(target.split('?')[1]).getAll('transport').at(-1)
    const refusal = { code: 0, message: 'Transport unknown', context: { transport } }
    wire(`refuses the transport ${name} with 400, code 0`, {}, async (world) => {
      await assertRefused(await world.peer(get(target)), 400, 0, 'Transport unknown')
      assert.deepEqual(await world.refusal(), refusal)
    })
    wire(`refuses an upgrade with the transport ${name} with 400, code 0`, {}, async (world) => {
      await assertUpgradeRefused(await world.peer(upgrade(target)), 400, 'Transport unknown')
      assert.deepEqual(await world.refusal(), refusal)
    })
  }

  wire(
    'refuses a request without a query with 400, code 0, on a server without other listeners',
    {},
    async (world) => {
      world.server.removeAllListeners('request')
      await assertRefused(await world.peer(get('/engine.io/')), 400, 0, 'Transport unknown')
    },
  )

  wire(
    'refuses an upgrade with transport=polling with 400, code 3, TRANSPORT_HANDSHAKE_ERROR',
    {},
    async (world) => {
      await assertUpgradeRefused(await world.peer(upgrade(POLLING)), 400, 'Bad request')
      const { code, context } = await world.refusal()
      assert.deepEqual([code, context.name], [3, 'TRANSPORT_HANDSHAKE_ERROR'])
    },
  )

  wire(
    'refuses a GET with transport=websocket with 400, code 3, TRANSPORT_HANDSHAKE_ERROR',
    {},
    async (world) => {
      await assertRefused(await world.peer(get(WEBSOCKET)), 400, 3, 'Bad request')
      const { code, context } = await world.refusal()
      assert.deepEqual([code, context.name], [3, 'TRANSPORT_HANDSHAKE_ERROR'])
    },
  )

  for (const eio of [
    '',
    '&EIO=',
    '&EIO=3',
    '&EIO=5',
    '&EIO=4.0',
    '&EIO=04',
    '&EIO=4&EIO=3',
    '&EIO=constructor',
  ]) {
    const message = 'Unsupported protocol version'
    const refusal = { code: 5, message, context: { protocol: 3 } }
    wire(`refuses ${eio || 'no EIO'} with 400, code 5`, {}, async (world) => {
      await assertRefused(
        await world.peer(get(`/engine.io/?transport=polling${eio}`)),
        400,
        5,
        message,
      )
      assert.deepEqual(await world.refusal(), refusal)
    })
    wire(
      `refuses an upgrade with ${eio || 'no EIO'} with 400, code 5, before the 101`,
      {},
      async (world) => {
        const peer = await world.peer(upgrade(`/engine.io/?transport=websocket${eio}`))
        await assertUpgradeRefused(peer, 400, message)
        assert.deepEqual(await world.refusal(), refusal)
      },
    )
  }

  wire('uses the last of repeated keys, and the app sees what was checked', {}, async (world) => {
    const query =
      '?transport=bogus&EIO=3&EIO=4&transport=polling&a=1&a=2&b=%ff&c=%zz&d=%00&__proto__=x&__proto__[y]=z&e=%0d%0aX:%20y'
    const peer = await world.peer(get(`/engine.io/${query}`))
    const answer = await response(peer)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.x, undefined, 'no value of the query has become a header')
    const { socket } = await world.session()
    const seen = socket.request._query
    assert.equal(seen.transport, 'polling')
    assert.equal(seen.EIO, '4')
    assert.equal(seen.a, '2')
    assert.equal(seen.b, '\ufffd')
    assert.equal(seen.c, '%zz')
    assert.equal(seen.d, '\0')
    assert.equal(seen.e, '\r\nX: y')
    assert.equal({}.y, undefined, 'no effect on prototypes')
    assert.equal({}.x, undefined, 'no effect on prototypes')
    assert.equal(socket.transport.name, 'polling')
  })

  wire('keeps CRLF in its values out of the answer to a refused upgrade', {}, async (world) => {
    const evil = '%0d%0aSet-Cookie:%20a=b'
    const target = `/engine.io/?EIO=4${evil}&transport=websocket${evil}&sid=${evil}`
    const answer = await assertUpgradeRefused(
      await world.peer(upgrade(target)),
      400,
      'Transport unknown',
    )
    assert.equal(answer.headers['set-cookie'], undefined)
  })

  for (const path of [
    '//',
    '//engine.io/',
    '/?EIO=4',
    '/%',
    '/?%',
    '/?sid=%&EIO=4&transport=polling',
    '/\\',
    '/?__proto__',
  ]) {
    wire(`refuses GET ${path} with the engine on / and lives on`, { path: '/' }, async (world) => {
      // With another listener, requests without an Engine.IO query would go to the app.
      world.server.removeAllListeners('request')
      assert.equal((await response(await world.peer(get(path)))).status, 400)
      assert.equal((await response(await world.peer(upgrade(path)))).status, 400)
      assert.deepEqual(world.sessions, [])
      world.proveGood = async () => {
        const peer = await world.peer(upgrade('/?EIO=4&transport=websocket'))
        await opened(peer)
      }
    })
  }
})

describe('a request', () => {
  for (const method of ['POST', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'PROPFIND']) {
    wire(`gets 400 with code 2 for ${method} without sid`, {}, async (world) => {
      const peer = await world.peer(
        request(`${method} ${POLLING}`, { ...HOST, 'Content-Length': '0' }),
      )
      await assertRefused(peer, 400, 2, 'Bad handshake method')
      assert.deepEqual(await world.refusal(), {
        code: 2,
        message: 'Bad handshake method',
        context: { method },
      })
    })
  }

  wire('gets 400 without a body for HEAD without sid', {}, async (world) => {
    const peer = await world.peer(request(`HEAD ${POLLING}`, { ...HOST, Connection: 'close' }))
    assert.equal((await response(peer, { isHead: true })).status, 400)
    assert.equal((await peer.rest()).length, 0)
    assert.equal((await world.refusal()).code, 2)
  })

  wire(
    'gets 400 with code 2 for a POST without sid, whose body is not taken for a request',
    {},
    async (world) => {
      const body = get('/smuggled').toString()
      const peer = await world.peer(post(POLLING, body))
      await assertRefused(peer, 400, 2, 'Bad handshake method')
      assert.deepEqual(world.pages, [])
    },
  )

  for (const method of ['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH']) {
    wire(
      `gets an empty 405 for ${method} with sid, and leaves the session untouched`,
      {},
      async (world) => {
        const client = await openPolling(world)
        const parked = await client.park()
        const peer = await world.peer(
          request(`${method} ${client.target}`, { ...HOST, 'Content-Length': '0' }),
        )
        const answer = await response(peer, { isHead: method === 'HEAD' })
        assert.equal(answer.status, 405)
        assert.equal(answer.headers.allow, 'GET, POST')
        assert.equal(answer.text, '')
        client.session.socket.send('still here')
        assert.equal((await response(parked)).text, '4still here')
        await client.prove()
      },
    )
  }
})

describe('the path is a plain prefix', () => {
  const good = '?EIO=4&transport=polling'
  for (const path of [
    '//engine.io/',
    '/ENGINE.IO/',
    '/x/../engine.io/',
    '/../engine.io/',
    '/engine%2eio/',
    '/engine.io',
    '/./engine.io/',
    '/%65ngine.io/',
  ]) {
    wire(`leaves ${path} to the app`, { destroyUpgradeTimeout: 20 }, async (world) => {
      const answer = await response(await world.peer(get(path + good)))
      assert.equal(answer.text, `page ${path}${good}`)
      const peer = await world.peer(upgrade(`${path}?EIO=4&transport=websocket`))
      assert.equal((await response(peer)).status, 404)
      world.assertUntouched()
    })
  }

  for (const path of ['/engine.io/foo/bar/', '/engine.io/../../etc', '/engine.io/%00']) {
    wire(`takes ${path} for the engine`, {}, async (world) => {
      assert.equal((await response(await world.peer(get(path + good)))).status, 200)
      await opened(await world.peer(upgrade(`${path}?EIO=4&transport=websocket`)))
    })
  }

  const upgradeListener = { destroyUpgradeTimeout: 20 }
  for (const target of [
    'http://169.254.169.254/latest/meta-data/',
    'http://127.0.0.1/engine.io/?EIO=4&transport=websocket',
    'http://127.0.0.1/_next/webpack-hmr',
    'https://evil.example/',
    '*',
  ]) {
    wire(
      `refuses an upgrade of ${target} with 400 before any listener sees it`,
      upgradeListener,
      async (world) => {
        const seen = []
        world.server.prependListener('upgrade', (req) => seen.push(req.url))
        const peer = await world.peer(upgrade(target))
        const answer = await response(peer)
        assert.equal(answer.status, 400)
        assert.equal(answer.headers.connection, 'close')
        assert.equal((await peer.rest()).length, 0)
        assert.deepEqual(seen, [])
        assert.deepEqual(world.sessions, [])
      },
    )
  }

  wire('refuses an upgrade of an authority-form target with 400', {}, async (world) => {
    const seen = []
    world.server.on('upgrade', (req) => seen.push(req.url))
    const peer = await world.peer(upgrade('127.0.0.1:80'))
    assert.equal((await response(peer)).status, 400)
    assert.deepEqual(seen, [])
  })
})

describe('middlewares', () => {
  const failures = {
    'calls next(err)': (_req, _res, next, error) => next(error),
    throws: (_req, _res, _next, error) => {
      throw error
    },
    rejects: async (_req, _res, _next, error) => {
      throw error
    },
  }
  for (const [name, fail] of Object.entries(failures)) {
    const use = (world, error) => {
      world.goodQuery = { good: 1 }
      world.engine.use((req, res, next) => {
        if (req._query.good === undefined) return fail(req, res, next, error)
        next()
      })
    }
    wire(`refuse with 400, code 3, MIDDLEWARE_FAILURE when one ${name}`, {}, async (world) => {
      const error = new Error('secret of the app')
      use(world, error)
      await assertRefused(await world.peer(get(POLLING)), 400, 3, 'Bad request')
      assert.deepEqual(await world.refusal(), {
        code: 3,
        message: 'Bad request',
        context: { name: 'MIDDLEWARE_FAILURE', error },
      })
      await assertUpgradeRefused(await world.peer(upgrade()), 400, 'Bad request')
      assert.equal((await world.refusal()).context.error, error)
    })
  }

  wire('end an answer that one began before it failed', {}, async (world) => {
    world.goodQuery = { good: 1 }
    world.engine.use((req, res, next) => {
      if (req._query.good !== undefined) return next()
      res.write('begun')
      next(new Error('too late'))
    })
    const answer = await response(await world.peer(get(POLLING)))
    assert.deepEqual([answer.status, answer.text], [200, 'begun'])
    assert.equal((await world.refusal()).context.name, 'MIDDLEWARE_FAILURE')
    assert.equal(world.sessions.length, 0)
  })
})

describe('a server that accepts no handshakes', () => {
  const busy = { maxPendingHandshakes: 1 }
  const hold = (world) => {
    const entered = deferred()
    world.engine.opts.allowRequest = (_req, done) => entered.resolve(() => done(null, true))
    return entered.promise
  }

  function assertBusy(answer) {
    assert.equal(answer.status, 503)
    assert.match(answer.headers['retry-after'], /^[1-5]$/)
  }

  wire(
    'answers too many handshakes with 503, Retry-After, TOO_MANY_HANDSHAKES',
    busy,
    async (world) => {
      const entered = hold(world)
      const first = await world.peer(get(POLLING))
      const release = await entered
      const polling = await assertRefused(
        await world.peer(get(POLLING)),
        503,
        4,
        'Too many connections',
      )
      assertBusy(polling)
      assertBusy(
        await assertUpgradeRefused(await world.peer(upgrade()), 503, 'Too many connections'),
      )
      for (const refusal of [await world.refusal(), await world.refusal()]) {
        assert.deepEqual([refusal.code, refusal.context.name], [4, 'TOO_MANY_HANDSHAKES'])
      }
      release()
      assert.equal((await response(first)).status, 200)
      world.engine.opts.allowRequest = undefined
    },
  )

  wire(
    'answers handshakes of a closed engine with 503, Retry-After, DRAINING',
    {},
    async (world) => {
      world.engine.close()
      const message = 'Server is shutting down'
      assertBusy(await assertRefused(await world.peer(get(POLLING)), 503, 4, message))
      assertBusy(await assertUpgradeRefused(await world.peer(upgrade()), 503, message))
      for (const refusal of [await world.refusal(), await world.refusal()]) {
        assert.deepEqual([refusal.code, refusal.context.name], [4, 'DRAINING'])
      }
      world.proveGood = async () => {
        assert.equal((await response(await world.peer(get('/')))).text, 'page /')
      }
    },
  )
})
