// Sessions and session ids (docs/protocol.md#sessions-and-sids).

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createServer } from 'node:http'
import { attach } from 'upwire'
import { io as connectSocket } from 'socket.io-client'
import { openPolling, openWebSocket, opened } from '../support/engine-clients.mjs'
import { deferred, event, until } from '../support/events.mjs'
import { readText, text } from '../support/frames.mjs'
import { POLLING, WEBSOCKET, get, post, response, upgrade } from '../support/requests.mjs'
import { World, wire } from '../support/world.mjs'

async function assertRefused(peer, code, message) {
  const answer = await response(peer)
  assert.equal(answer.status, 400, `${answer.line} ${answer.text}`)
  assert.equal(answer.text, JSON.stringify({ code, message }))
}

async function assertUpgradeRefused(peer, message) {
  const answer = await response(peer)
  assert.equal(answer.status, 400, `${answer.line} ${answer.text}`)
  assert.equal(answer.text, message)
  assert.equal((await peer.rest()).length, 0, 'nothing follows a refusal')
}

describe('a sid that names no session gets 400 with code 1', () => {
  const message = 'Session ID unknown'

  async function assertUnknown(world, sid) {
    const query = `&sid=${sid}`
    await assertRefused(await world.peer(get(POLLING + query)), 1, message)
    await assertRefused(await world.peer(post(POLLING + query, '4evil')), 1, message)
    await assertUpgradeRefused(await world.peer(upgrade(WEBSOCKET + query)), message)
    for (let index = 0; index < 3; index++) {
      const refusal = await world.refusal()
      assert.deepEqual(refusal, { code: 1, message, context: { sid: decodeURIComponent(sid) } })
    }
  }

  for (const sid of [
    'AAAAAAAAAAAAAAAAAAAA',
    '0',
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'toString',
    'null',
    'undefined',
    '%00',
    '%20',
    '..%2F..%2Fetc%2Fpasswd',
    'a'.repeat(5000),
  ]) {
    wire(`when it is ${sid.slice(0, 30)}`, {}, async (world) => {
      await assertUnknown(world, sid)
      assert.deepEqual(world.sessions, [], 'no session under an id that the client brought')
    })
  }

  wire(
    'when it is truncated, longer, in another case, with a space, or of a closed session',
    {},
    async (world) => {
      const client = await openPolling(world)
      const { sid } = client
      const swapped = [...sid]
        .map((c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase()))
        .join('')
      for (const near of [
        sid.slice(0, -1),
        sid.slice(1),
        `${sid}A`,
        `${sid}%00`,
        `${sid}%20`,
        `%20${sid}`,
        swapped,
      ]) {
        await assertUnknown(world, near)
      }
      await client.prove()
      client.session.socket.close(true)
      await client.session.closed()
      await assertUnknown(world, sid)
      assert.equal(world.sessions.length, 1)
    },
  )

  wire('unless it is percent-encoded: that is the same sid', {}, async (world) => {
    const client = await openPolling(world)
    const encoded = [...Buffer.from(client.sid)].map((byte) => `%${byte.toString(16)}`).join('')
    const peer = await world.peer(post(`${POLLING}&sid=${encoded}`, '4hello'))
    assert.equal((await response(peer)).status, 200)
    assert.deepEqual(await client.session.received(1), ['hello'])
  })

  wire('when it belongs to another engine', {}, async (world) => {
    const other = await World.start()
    try {
      const { sid } = await openPolling(other)
      await assertUnknown(world, sid)
    } finally {
      await other.close()
    }
  })
})

describe('a handshake with an empty sid is a handshake without one', () => {
  for (const [name, bytes] of [
    ['polling', get(`${POLLING}&sid=`)],
    ['websocket', upgrade(`${WEBSOCKET}&sid=`)],
  ]) {
    const options = { allowRequest: (req, done) => done('no', req._query.good !== undefined) }
    wire(`calls allowRequest: ${name}`, options, async (world) => {
      world.goodQuery = { good: 1 }
      const answer = await response(await world.peer(bytes))
      assert.notEqual(answer.status, 101)
      assert.notEqual(answer.status, 200)
      assert.deepEqual(world.sessions, [])
    })

    wire(`calls generateId: ${name}`, {}, async (world) => {
      const { generateId } = world.engine
      world.engine.generateId = async (req) =>
        req._query.good ? generateId.call(world.engine) : 'an-id-of-the-app'
      world.goodQuery = { good: 1 }
      await response(await world.peer(bytes))
      assert.equal((await world.session()).socket.id, 'an-id-of-the-app')
    })

    wire(`gives the session an id of the engine’s own: ${name}`, {}, async (world) => {
      await response(await world.peer(bytes))
      assert.match((await world.session()).socket.id, /^[\w-]{20}$/)
    })
  }
})

describe('sids that the engine generates', () => {
  wire('have 20 random characters of [A-Za-z0-9_-]', {}, async (world) => {
    const sids = []
    for (let index = 0; index < 600; index++) sids.push(world.engine.generateId())
    const { sid } = await openPolling(world)
    sids.push(sid)
    for (const each of sids) assert.match(each, /^[A-Za-z0-9_-]{20}$/)
    assert.equal(new Set(sids).size, sids.length)
    for (let place = 0; place < 20; place++) {
      // With 64 symbols, 601 draws almost never miss more than 8 of them; a counter misses more.
      const symbols = new Set(sids.map((each) => each[place]))
      assert.ok(symbols.size > 55, `place ${place} has ${symbols.size} symbols in 601 sids`)
    }
    const steps = new Set()
    for (let index = 1; index < sids.length; index++)
      steps.add(sids[index].slice(-4) > sids[index - 1].slice(-4))
    assert.equal(steps.size, 2, 'no counter')
  })

  wire('never appear in the answer to a refused request', {}, async (world) => {
    const client = await openPolling(world)
    const answers = [
      await response(await world.peer(get(`${WEBSOCKET}&sid=${client.sid}`))),
      await response(
        await world.peer(get(`/engine.io/?EIO=3&transport=polling&sid=${client.sid}`)),
      ),
    ]
    for (const { line, headers, text: body } of answers) {
      assert.ok(!JSON.stringify([line, headers, body]).includes(client.sid))
    }
    await client.post('2')
    const { description } = await client.session.closed()
    assert.ok(!`${description.stack}${JSON.stringify(description)}`.includes(client.sid))
  })

  test('differ from the socket.id of Socket.IO', async (t) => {
    const server = createServer()
    const io = attach(server)
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => io.close())
    const arrival = event(io, 'connection')
    const client = connectSocket(`http://127.0.0.1:${server.address().port}`, {
      transports: ['websocket'],
    })
    t.after(() => client.disconnect())
    const [socket] = await arrival
    assert.notEqual(socket.id, socket.conn.id)
    assert.match(socket.conn.id, /^[\w-]{20}$/)
  })
})

describe('an app’s generateId that fails gets 400 with code 3, ID_GENERATION_ERROR, before the 101', () => {
  const failure = new Error('no more ids')
  const failures = {
    throws: () => {
      throw failure
    },
    rejects: () => Promise.reject(failure),
    'gives undefined': () => undefined,
    'gives a number': () => 42,
    'gives an object': async () => ({ toString: () => 'id' }),
    'gives an empty string': () => '',
    'gives 257 characters': () => 'a'.repeat(257),
    'gives half a character': () => 'id\ud800',
    'gives a line break': () => 'a\r\nSet-Cookie: b',
    'gives NUL': async () => 'a\0',
    'gives DEL': () => 'a\x7f',
  }

  async function assertFails(world) {
    await assertRefused(await world.peer(get(POLLING)), 3, 'Bad request')
    await assertUpgradeRefused(await world.peer(upgrade()), 'Bad request')
    const refusals = [await world.refusal(), await world.refusal()]
    for (const { code, context } of refusals) {
      assert.deepEqual([code, context.name], [3, 'ID_GENERATION_ERROR'])
      assert.ok(context.error instanceof Error)
    }
    return refusals.map(({ context }) => context.error)
  }

  /** Gives the good client an id of the engine's own. */
  function replaceIds(world, generate) {
    const { generateId } = world.engine
    world.goodQuery = { good: 1 }
    world.engine.generateId = (req) =>
      req._query.good ? generateId.call(world.engine) : generate(req)
  }

  for (const [name, generate] of Object.entries(failures)) {
    wire(name, {}, async (world) => {
      replaceIds(world, generate)
      const errors = await assertFails(world)
      if (name === 'throws' || name === 'rejects') assert.deepEqual(errors, [failure, failure])
      assert.deepEqual(world.sessions, [])
    })
  }

  wire('by giving an id in use; the live session goes on', {}, async (world) => {
    replaceIds(world, () => 'the-same')
    const client = await openPolling(world)
    assert.equal(client.sid, 'the-same')
    await assertFails(world)
    await client.prove()
    assert.equal(world.sessions.length, 1)
  })

  wire('by giving the id of a session on WebSocket; that session goes on', {}, async (world) => {
    replaceIds(world, () => 'the-same')
    const { peer, session } = await openWebSocket(world)
    await assertFails(world)
    peer.write(text('4alive'))
    assert.deepEqual(await session.received(1), ['alive'])
  })

  for (const [name, bytes] of [
    ['polling', get(POLLING)],
    ['websocket', upgrade()],
  ]) {
    wire(
      `by giving one id to two ${name} handshakes at once: only one of them gets it`,
      {},
      async (world) => {
        const gate = deferred()
        let asked = 0
        replaceIds(world, () => {
          asked++
          return gate.promise
        })
        const peers = [await world.peer(bytes), await world.peer(bytes)]
        await until(() => asked === 2, 'both handshakes')
        gate.resolve('the-same')
        const answers = await Promise.all(peers.map((peer) => response(peer)))
        const statuses = answers.map(({ status }) => status).sort()
        assert.deepEqual(statuses, name === 'polling' ? [200, 400] : [101, 400])
        assert.equal((await world.refusal()).context.name, 'ID_GENERATION_ERROR')
        assert.equal(world.sessions.length, 1)
        assert.equal(world.engine.clientsCount, 1)
      },
    )
  }

  for (const id of ['__proto__', 'constructor', 'toString']) {
    wire(`except that ${id}, given twice, is an id like any other`, {}, async (world) => {
      replaceIds(world, () => id)
      const client = await openPolling(world)
      assert.equal(client.sid, id)
      await client.prove()
      await assertFails(world)
      await client.prove()
    })
  }

  wire('except that 256 characters are an id', {}, async (world) => {
    replaceIds(world, () => 'x'.repeat(256))
    const client = await openPolling(world)
    await client.prove()
  })
})

describe('a sid used on another transport or protocol gets 400 with code 3, and the session is untouched', () => {
  wire('a GET or POST with the sid of a WebSocket', {}, async (world) => {
    const { peer, sid, session } = await openWebSocket(world)
    const context = {
      name: 'TRANSPORT_MISMATCH',
      transport: 'polling',
      previousTransport: 'websocket',
    }
    for (const bytes of [get(`${POLLING}&sid=${sid}`), post(`${POLLING}&sid=${sid}`, '4evil')]) {
      await assertRefused(await world.peer(bytes), 3, 'Bad request')
      assert.deepEqual(await world.refusal(), { code: 3, message: 'Bad request', context })
    }
    peer.write(text('4alive'))
    assert.deepEqual(await session.received(1), ['alive'])
  })

  wire(
    'transport=websocket without an upgrade, with the sid of a polling session',
    {},
    async (world) => {
      const client = await openPolling(world)
      await assertRefused(await world.peer(get(`${WEBSOCKET}&sid=${client.sid}`)), 3, 'Bad request')
      const context = {
        name: 'TRANSPORT_MISMATCH',
        transport: 'websocket',
        previousTransport: 'polling',
      }
      assert.deepEqual((await world.refusal()).context, context)
      await client.prove()
    },
  )

  for (const eio of ['&EIO=3', '', '&EIO=5']) {
    wire(`${eio || 'no EIO'} with the sid of an EIO 4 session`, {}, async (world) => {
      const client = await openPolling(world)
      const query = (transport) => `/engine.io/?transport=${transport}${eio}&sid=${client.sid}`
      await assertRefused(await world.peer(get(query('polling'))), 3, 'Bad request')
      await assertRefused(await world.peer(post(query('polling'), '4evil')), 3, 'Bad request')
      await assertUpgradeRefused(await world.peer(upgrade(query('websocket'))), 'Bad request')
      for (let index = 0; index < 3; index++) {
        const context = { name: 'PROTOCOL_MISMATCH', protocol: 3, previousProtocol: 4 }
        assert.deepEqual(await world.refusal(), { code: 3, message: 'Bad request', context })
      }
      await client.prove()
    })
  }
})

describe('a second WebSocket for a session gets 400 before the 101, and the first transport stays', () => {
  async function assertMismatch(world, peer, previousTransport) {
    await assertUpgradeRefused(peer, 'Bad request')
    const context = { name: 'TRANSPORT_MISMATCH', transport: 'websocket', previousTransport }
    assert.deepEqual(await world.refusal(), { code: 3, message: 'Bad request', context })
  }

  wire('when the session began on WebSocket', {}, async (world) => {
    const { peer, sid, session } = await openWebSocket(world)
    await assertMismatch(
      world,
      await world.peer(upgrade(`${WEBSOCKET}&sid=${sid}`), text('5')),
      'websocket',
    )
    peer.write(text('4alive'))
    assert.deepEqual(await session.received(1), ['alive'])
    session.socket.send('here')
    assert.equal(await readText(peer), '4here')
  })

  wire('when the session is upgrading', {}, async (world) => {
    const client = await openPolling(world)
    const probe = await client.probe()
    await assertMismatch(world, await world.peer(client.upgradeRequest()), 'polling')
    probe.write(text('2probe'))
    assert.equal(await readText(probe), '3probe')
    await assertMismatch(world, await world.peer(client.upgradeRequest()), 'polling')
    probe.write(text('5'), text('4alive'))
    assert.deepEqual(await client.session.received(1), ['alive'])
  })

  wire('when the session has upgraded', {}, async (world) => {
    const client = await openPolling(world)
    const probe = await client.probe()
    probe.write(text('2probe'), text('5'), text('4one'))
    await client.session.received(1)
    await until(() => client.session.socket.upgraded, 'the upgrade')
    await assertMismatch(world, await world.peer(client.upgradeRequest()), 'websocket')
    probe.write(text('4two'))
    assert.deepEqual(await client.session.received(2), ['one', 'two'])
  })
})

describe('the session’s address is that of the TCP peer', () => {
  const forwarded = {
    'X-Forwarded-For': '203.0.113.7',
    Forwarded: 'for=203.0.113.7',
    'X-Real-IP': '203.0.113.7',
    'X-Client-IP': '203.0.113.7',
  }

  wire('on polling', {}, async (world) => {
    const lines = Object.entries(forwarded).map(([name, value]) => `${name}: ${value}\r\n`)
    await response(await world.peer(`GET ${POLLING} HTTP/1.1\r\nHost: a\r\n${lines.join('')}\r\n`))
    assert.equal((await world.session()).socket.remoteAddress, '127.0.0.1')
  })

  wire('on WebSocket', {}, async (world) => {
    await opened(await world.peer(upgrade(WEBSOCKET, forwarded)))
    assert.equal((await world.session()).socket.remoteAddress, '127.0.0.1')
  })
})
