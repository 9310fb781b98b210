// Upgrade requests: their headers, and the bytes around them (docs/protocol.md#handshake-and-http).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { accepted, openPolling, opened } from '../support/engine-clients.mjs'
import { until } from '../support/events.mjs'
import { OP, frame, text } from '../support/frames.mjs'
import { KEY, UPGRADE, WEBSOCKET, get, request, response, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'
import { assertUpgradeRefused, assertRefused } from '../support/refusals.mjs'

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
