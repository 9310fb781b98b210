// Handshakes that are refused before any code of the app runs: sessions per engine and per address,
// their rate, and which address counts behind a proxy (docs/protocol.md#limits).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Engine } from 'upwire'
import { until } from '../support/events.mjs'
import { openPolling, openWebSocket } from '../support/engine-clients.mjs'
import { POLLING, get, request, response, upgrade, WEBSOCKET } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

const polling = (headers = {}) => request(`GET ${POLLING}`, { Host: '127.0.0.1', ...headers })
const from = (address) => ({ 'X-Forwarded-For': address })
const asked = {
  polling: (headers) => polling(headers),
  websocket: (headers) => upgrade(WEBSOCKET, headers),
}

/** Sends a handshake that must be refused, and checks everything that the peer and the app see. */
async function assertRefused(world, bytes, { context, limit, remoteAddress = '127.0.0.1' }) {
  const { limits, refusals } = world
  const answer = await response(await world.peer(bytes))
  assert.equal(answer.status, 503, answer.text)
  assert.match(answer.headers['retry-after'], /^[1-5]$/)
  assert.equal(answer.headers.connection, 'close')
  assert.match(answer.text, /Too many connections/)
  await until(() => refusals.length > 0, 'a connection_error')
  const { code, message, context: given } = refusals.pop()
  assert.deepEqual([code, message, given.name], [4, 'Forbidden', context])
  const told = limits.pop()
  const { name, value } = limit
  assert.deepEqual(told, {
    name,
    limit: value,
    value,
    action: 'refused',
    sid: undefined,
    remoteAddress,
  })
}

/** Waits until a handshake is accepted again; its session ends at once. */
async function assertFree(world, headers) {
  const status = async () => {
    const peer = await world.peer(polling(headers))
    const answer = await response(peer)
    if (answer.status !== 200) return false
    const session = await world.session()
    session.socket.close(true)
    return true
  }
  await until(status, 'a free place')
  world.refusals.length = 0
  world.limits.length = 0
}

describe('maxSessions', () => {
  const full = { context: 'TOO_MANY_SESSIONS', limit: { name: 'maxSessions', value: 3 } }

  for (const [transport, bytes] of Object.entries(asked)) {
    wire(
      `refuses a handshake at the bound with 503 (${transport}) and accepts one below it`,
      { maxSessions: 3 },
      async (world) => {
        await openPolling(world)
        const { peer } = await openWebSocket(world)
        await openPolling(world)
        for (let count = 0; count < 3; count++) await assertRefused(world, bytes(), full)
        assert.equal(world.engine.clientsCount, 3)
        assert.equal(world.engine.stats().limits['maxSessions refused'], 3)
        peer.destroy()
        await assertFree(world)
        for (const { socket } of world.sessions) socket.close(true)
      },
    )
  }

  wire(
    'accepts requests and upgrades of sessions at the bound',
    { maxSessions: 1 },
    async (world) => {
      const client = await openPolling(world)
      await assertRefused(world, polling(), { ...full, limit: { name: 'maxSessions', value: 1 } })
      await client.prove()
      const probe = await client.probe()
      probe.destroy()
      client.session.socket.close(true)
    },
  )

  wire('runs no code of the app for a refused handshake', { maxSessions: 1 }, async (world) => {
    const { session } = await openWebSocket(world)
    const calls = []
    world.engine.use((_req, _res, next) => {
      calls.push('middleware')
      next()
    })
    world.engine.opts.allowRequest = (_req, done) => {
      calls.push('allowRequest')
      done(null, true)
    }
    const one = { ...full, limit: { name: 'maxSessions', value: 1 } }
    for (const bytes of Object.values(asked)) await assertRefused(world, bytes(), one)
    assert.deepEqual(calls, [])
    session.socket.close(true)
    await session.closed()
  })

  for (const [transport, bytes] of Object.entries(asked)) {
    wire(
      `lets only as many of 100 waiting handshakes (${transport}) hold a place as there are`,
      { maxSessions: 4 },
      async (world) => {
        await openWebSocket(world)
        const waits = []
        world.engine.opts.allowRequest = (_req, done) => waits.push(done)
        const peers = await Promise.all(Array.from({ length: 100 }, () => world.peer(bytes())))
        await until(
          () => world.refusals.length === 97,
          () => `97 refusals, ${world.refusals.length}`,
        )
        assert.equal(waits.length, 3)
        assert.equal(world.engine.stats().limits['maxSessions refused'], 97)
        // The app refuses one, the client of another leaves, and the third becomes a session.
        waits[0]('no', false)
        const left = peers.filter(({ buffered }) => buffered === 0)
        waits[1](null, true)
        await world.session()
        for (const peer of left) if (peer.buffered === 0) peer.reset()
        world.engine.opts.allowRequest = undefined
        await assertFree(world)
        for (const { socket } of world.sessions) socket.close(true)
        await until(
          () => world.engine.stats().pendingHandshakes === 0,
          'no handshake to be pending',
        )
        for (let count = 0; count < 4; count++) await openWebSocket(world)
        assert.equal((await response(await world.peer(bytes()))).status, 503)
        for (const { socket } of world.sessions) socket.close(true)
      },
    )
  }

  wire('has no bound when it is 0', { maxSessions: 0 }, async (world) => {
    for (let count = 0; count < 5; count++) await openPolling(world)
  })

  wire('gives no place to a request that becomes no session', { maxSessions: 1 }, async (world) => {
    const held = []
    world.engine.use((req, _res, next) => (req._query.hold ? held.push(next) : next()))
    await world.peer(request(`OPTIONS ${POLLING}&hold=1`), '')
    await world.peer(get(`${POLLING}&hold=1&sid=unknown`))
    await until(() => held.length === 2, 'both requests to wait')
    await openPolling(world)
    for (const next of held) next()
    for (const { socket } of world.sessions) socket.close(true)
  })
})

describe('maxSessionsPerAddress', () => {
  const options = { maxSessionsPerAddress: 2, trustProxy: ['127.0.0.1'] }
  const full = (remoteAddress) => ({
    context: 'TOO_MANY_SESSIONS',
    limit: { name: 'maxSessionsPerAddress', value: 2 },
    remoteAddress,
  })

  wire('counts each address by itself', options, async (world) => {
    for (const address of ['192.0.2.1', '192.0.2.2']) {
      for (const bytes of Object.values(asked))
        await response(await world.peer(bytes(from(address))))
      for (const bytes of Object.values(asked)) {
        await assertRefused(world, bytes(from(address)), full(address))
      }
    }
    await until(() => world.sessions.length === 4, 'four sessions')
    world.sessions[0].socket.close(true)
    await assertFree(world, from('192.0.2.1'))
    await assertRefused(world, polling(from('192.0.2.2')), full('192.0.2.2'))
  })

  wire('is off by default, and counts handshakes that wait', options, async (world) => {
    const waits = []
    world.engine.opts.allowRequest = (_req, done) => waits.push(done)
    const peers = [
      await world.peer(polling(from('192.0.2.1'))),
      await world.peer(upgrade(WEBSOCKET, from('192.0.2.1'))),
    ]
    await until(() => waits.length === 2, 'both handshakes to wait')
    await assertRefused(world, polling(from('192.0.2.1')), full('192.0.2.1'))
    for (const peer of peers) peer.reset()
    await until(() => world.engine.stats().pendingHandshakes === 0, 'both handshakes to end')
    world.engine.opts.allowRequest = undefined
    assert.equal(new Engine().opts.maxSessionsPerAddress, 0)
  })

  wire('counts IPv6 addresses by their first 64 bits', options, async (world) => {
    const first = ['2001:db8::1', '2001:0DB8:0:0:ffff::2']
    for (const address of first) await response(await world.peer(polling(from(address))))
    await assertRefused(world, polling(from('2001:db8::3')), full('2001:db8::3'))
    assert.equal((await response(await world.peer(polling(from('2001:db8:0:1::1'))))).status, 200)
  })

  wire('counts an IPv4 address as one, however it is written', options, async (world) => {
    for (const address of ['192.0.2.1', '::ffff:192.0.2.1']) {
      await response(await world.peer(polling(from(address))))
    }
    await assertRefused(world, polling(from('::ffff:c000:201')), full('192.0.2.1'))
  })
})

describe('trustProxy', () => {
  /** The address that the app sees for a session whose request has these headers. */
  async function addressOf(world, headers) {
    const count = world.sessions.length
    for (const bytes of Object.values(asked)) await response(await world.peer(bytes(headers)))
    await until(() => world.sessions.length === count + 2, 'both sessions')
    const [first, second] = world.sessions.slice(count).map(({ socket }) => socket.remoteAddress)
    assert.equal(first, second, 'polling and WebSocket agree')
    return first
  }

  wire('ignores what a peer says about its address when no proxy is trusted', {}, async (world) => {
    const headers = { ...from('192.0.2.1'), Forwarded: 'for=192.0.2.1', 'X-Real-IP': '192.0.2.1' }
    assert.equal(await addressOf(world, headers), '127.0.0.1')
  })

  wire(
    'ignores the headers of a peer that is not in the list',
    { trustProxy: ['10.0.0.0/8'] },
    async (world) => {
      assert.equal(await addressOf(world, from('192.0.2.1')), '127.0.0.1')
    },
  )

  const cases = [
    ['takes the client of one proxy', from('192.0.2.1'), '192.0.2.1'],
    ['ignores what a client puts left of its own address', from('1.1.1.1, 192.0.2.1'), '192.0.2.1'],
    ['skips trusted proxies in between', from('192.0.2.1, 10.1.2.3,10.9.9.9'), '192.0.2.1'],
    [
      'takes the first address when all proxies are trusted',
      from('10.1.1.1, 10.2.2.2'),
      '10.1.1.1',
    ],
    [
      'stops reading at an entry that is no address',
      from('192.0.2.1, nonsense, 10.2.2.2'),
      '10.2.2.2',
    ],
    ['keeps the peer when the header is nonsense', from('nonsense'), '127.0.0.1'],
    ['keeps the peer when the header is empty', from(''), '127.0.0.1'],
    ['keeps the peer without a header', {}, '127.0.0.1'],
    ['removes a port', from('192.0.2.1:4711'), '192.0.2.1'],
    ['removes a port from an IPv6 address', from('[2001:db8::1]:4711'), '2001:db8::1'],
    [
      'trusts a mapped address as its IPv4 address',
      from('192.0.2.1, ::ffff:10.0.0.1'),
      '192.0.2.1',
    ],
    ['IPv6 blocks', from('192.0.2.1, fd00:1::1'), '192.0.2.1'],
    ['Forwarded', { Forwarded: 'for=192.0.2.1;proto=http' }, '192.0.2.1'],
    [
      'Forwarded, quoted',
      { Forwarded: 'For="[2001:db8::1]:80", proto=http;for=10.0.0.1' },
      '2001:db8::1',
    ],
    [
      'keeps the peer for an unknown entry in Forwarded',
      { Forwarded: 'for=192.0.2.1, for=unknown' },
      '127.0.0.1',
    ],
    [
      'prefers X-Forwarded-For to Forwarded',
      { ...from('192.0.2.1'), Forwarded: 'for=192.0.2.2' },
      '192.0.2.1',
    ],
    ['ignores X-Real-IP', { 'X-Real-IP': '192.0.2.1' }, '127.0.0.1'],
    ['ignores text that only looks like an address', from('192.0.2.1\tx'), '127.0.0.1'],
  ]
  const trusted = { trustProxy: ['127.0.0.1', '::ffff:10.0.0.0/104', 'fd00::/8'] }
  for (const [name, headers, address] of cases) {
    wire(name, trusted, async (world) => {
      assert.equal(await addressOf(world, headers), address)
      assert.equal(world.sessions[0].socket.request.socket.remoteAddress, '127.0.0.1')
    })
  }

  wire(
    'does not match IPv4 addresses against an IPv6 block',
    { trustProxy: ['::/0', '::/64'] },
    async (world) => {
      assert.equal(await addressOf(world, from('192.0.2.1')), '127.0.0.1')
    },
  )

  test('throws a typed error that names option and value for a wrong entry', () => {
    const wrong = ['10.0.0.0/33', '10.0.0', 'localhost', '::/129', '10.0.0.0/', '1.1.1.1/8/8', '']
    for (const entry of [...wrong, '::ffff:10.0.0.0/95', '10.0.0.0/-1', 'fe80::1%eth0', 5, null]) {
      assert.throws(
        () => new Engine({ trustProxy: ['127.0.0.1', entry] }),
        (error) => {
          assert.equal(error.code, 'ERR_UPWIRE_INVALID_OPTION')
          assert.ok(error instanceof TypeError)
          assert.match(error.message, /trustProxy/)
          assert.ok(error.message.includes(String(entry)), error.message)
          return true
        },
      )
    }
    for (const value of [true, '127.0.0.1', {}, 1]) {
      assert.throws(() => new Engine({ trustProxy: value }), { code: 'ERR_UPWIRE_INVALID_OPTION' })
    }
    for (const value of [undefined, null, false, [], ['::1', '0.0.0.0/0', '::/0']]) {
      assert.doesNotThrow(() => new Engine({ trustProxy: value }))
    }
  })
})

describe('maxHandshakeRate', () => {
  const options = { maxHandshakeRate: 2, trustProxy: ['127.0.0.1'] }
  const over = {
    context: 'HANDSHAKE_RATE',
    limit: { name: 'maxHandshakeRate', value: 2 },
    remoteAddress: '192.0.2.1',
  }

  for (const [transport, bytes] of Object.entries(asked)) {
    wire(
      `accepts twice the rate at once, then refuses with 503 (${transport})`,
      options,
      async (world) => {
        const calls = []
        world.engine.use((req, _res, next) => {
          calls.push(req)
          next()
        })
        const burst = Array.from({ length: 5 }, () => world.peer(bytes(from('192.0.2.1'))))
        const started = performance.now()
        const answers = await Promise.all((await Promise.all(burst)).map((peer) => response(peer)))
        const refused = answers.filter(({ status }) => status === 503)
        // A machine that stands still for half a second earns one more token.
        if (performance.now() - started < 450) assert.equal(refused.length, 1)
        assert.equal(calls.length, 5 - refused.length, 'the app has not seen it')
        assert.equal(world.engine.stats().limits['maxHandshakeRate refused'] ?? 0, refused.length)
        assert.equal(
          (await response(await world.peer(bytes(from('192.0.2.2'))))).status !== 503,
          true,
        )
        await assertFree(world, from('192.0.2.1'))
      },
    )
  }

  wire(
    'counts requests of any method and hides the refused ones from the app',
    options,
    async (world) => {
      const calls = []
      world.engine.use((req, _res, next) => {
        calls.push(req)
        next()
      })
      for (const line of [`POST ${POLLING}`, `PUT ${POLLING}`, `GET ${POLLING}&sid=unknown`]) {
        const headers = {
          Host: '127.0.0.1',
          'Content-Length': 0,
          ...from(`192.0.2.${calls.length + 1}`),
        }
        const statuses = []
        for (let count = 0; count < 20; count++) {
          statuses.push((await response(await world.peer(request(line, headers)))).status)
        }
        assert.deepEqual(new Set(statuses), new Set([400, 503]), line)
      }
      assert.ok(calls.length < 40)
    },
  )

  wire('recovers with time, and reports each refusal', options, async (world) => {
    const used = async () => {
      const { status } = await response(await world.peer(polling(from('192.0.2.1'))))
      return status === 503
    }
    await until(used, 'an empty bucket')
    assert.equal((await world.refusal()).context.name, over.context)
    const { name, action, remoteAddress } = world.limits[0]
    assert.deepEqual([name, action, remoteAddress], ['maxHandshakeRate', 'refused', '192.0.2.1'])
    const client = async () =>
      (await response(await world.peer(polling(from('192.0.2.1'))))).status === 200
    await until(client, 'a token')
  })

  wire(
    'does not count requests of sessions or preflights',
    { ...options, cors: {} },
    async (world) => {
      world.goodHeaders = from('192.0.2.9')
      const client = await openPolling(world)
      for (let count = 0; count < 10; count++) {
        await client.send('4x')
        assert.equal((await response(await world.peer(request(`OPTIONS ${POLLING}`)))).status, 204)
      }
      assert.equal(world.limits.length, 0)
    },
  )
})

test('the table of addresses is bounded and forgets quiet addresses', async () => {
  const { HandshakeRate } = await import('../../lib/admission/handshake-rate.js').then(
    (it) => it.default,
  )
  const rate = new HandshakeRate(1)
  for (let index = 0; index < 150_000; index++) rate.count(`address ${index}`, 0)
  assert.equal(rate.size, 100_000)
  // The newest address is remembered: two tokens at once, then none.
  assert.equal(rate.count('address 149999', 0), undefined)
  assert.equal(rate.count('address 149999', 0).name, 'maxHandshakeRate')
  for (let index = 0; index < 100_000; index++) rate.count('one', 10)
  assert.equal(rate.size, 1)
})
