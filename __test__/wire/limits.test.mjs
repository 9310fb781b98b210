// The limits of a connection and of handshakes (docs/protocol.md#limits). bodies.test.mjs and
// frames.test.mjs test those of bodies and frames, totals.test.mjs those over all connections.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { App } from '../support/app.mjs'
import { openPolling, openWebSocket, opened } from '../support/engine-clients.mjs'
import { deferred, until } from '../support/events.mjs'
import { OP, frame, readClose, readEnd, readFrame, readText, text } from '../support/frames.mjs'
import { POLLING, get, post, request, response, upgrade } from '../support/requests.mjs'
import { Peer } from '../support/peer.mjs'
import { wire } from '../support/world.mjs'

const MB = 1_000_000
/** More than the kernel takes for a peer that does not read. */
const HUGE = 'x'.repeat(20 * MB)

async function limitOf(world, name) {
  await until(
    () => world.limits.some((limit) => limit.name === name),
    () => `a limit event of ${name}, not ${JSON.stringify(world.limits)}`,
  )
  return world.limits.find((limit) => limit.name === name)
}

async function assertSlowConsumer({ closed }, limit) {
  const { reason, description } = await closed
  assert.equal(reason, 'transport error')
  assert.equal(description.type, 'TransportError')
  assert.equal(description.code, 'ERR_UPWIRE_SLOW_CONSUMER')
  assert.equal(description.limit, 'maxSendBuffer')
  assert.equal(description.value, limit)
}

/**
 * Waits until the I/O thread has what was sent in this tick and the kernel has not taken all of it.
 */
async function waiting({ socket }) {
  await new Promise((resolve) => setImmediate(resolve))
  await until(() => socket.writeBuffer.length > 0, 'waiting bytes')
}

describe('maxSendBuffer', () => {
  const options = { maxSendBuffer: MB }

  wire(
    'passes one message of any size and closes at the next: RST, transport error, limit event',
    options,
    async (world) => {
      const { peer, session, sid } = await openWebSocket(world)
      peer.pause()
      session.socket.send(HUGE)
      await waiting(session)
      assert.deepEqual(session.closes, [], 'one message of any size passes')
      session.socket.send('one more')
      await assertSlowConsumer({ closed: session.closed() }, MB)
      peer.resume()
      await peer.rest()
      assert.equal(peer.ended, 'reset')
      const limit = await limitOf(world, 'maxSendBuffer')
      assert.deepEqual(
        [limit.limit, limit.action, limit.sid, limit.remoteAddress],
        [MB, 'closed', sid, '127.0.0.1'],
      )
      assert.ok(limit.value >= MB, `value ${limit.value}`)
      assert.equal(world.limits.length, 1)
    },
  )

  wire(
    'passes everything to a peer that reads, message by message',
    { maxSendBuffer: 1000 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      for (const size of [10, 5000, 3 * MB, 10]) {
        session.socket.send('x'.repeat(size))
        assert.equal((await readText(peer)).length, size + 1)
        await until(() => session.socket.writeBuffer.length === 0, 'an empty queue')
      }
      assert.deepEqual(session.closes, [])
    },
  )

  wire('counts messages that wait for a GET on polling', options, async (world) => {
    const client = await openPolling(world)
    const { socket } = client.session
    socket.send('x'.repeat(2 * MB))
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(client.session.closes, [])
    socket.send('one more')
    await assertSlowConsumer({ closed: client.session.closed() }, MB)
    assert.equal((await limitOf(world, 'maxSendBuffer')).action, 'closed')
  })

  wire(
    'counts at least 64 bytes for each tiny message',
    { maxSendBuffer: 100_000 },
    async (world) => {
      const client = await openPolling(world)
      // 20,000 bytes on the wire, 1,300,000 in memory.
      for (let index = 0; index < 20_000; index++) client.session.socket.send('')
      await assertSlowConsumer({ closed: client.session.closed() }, 100_000)
    },
  )

  wire('is unlimited with 0', { maxSendBuffer: 0 }, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.pause()
    for (let round = 0; round < 3; round++) {
      session.socket.send(HUGE)
      await waiting(session)
    }
    peer.resume()
    for (let round = 0; round < 3; round++)
      assert.equal((await readText(peer)).length, HUGE.length + 1)
    assert.deepEqual(session.closes, [])
    assert.deepEqual(world.limits, [])
  })
})

describe("slowConsumer: 'drop'", () => {
  const options = { maxSendBuffer: MB, slowConsumer: 'drop' }

  wire('drops and reports the new message, and the session lives on', options, async (world) => {
    const { peer, session, sid } = await openWebSocket(world)
    peer.pause()
    session.socket.send(HUGE)
    await waiting(session)
    for (let index = 0; index < 3; index++) session.socket.send(`dropped ${index}`)
    session.socket.send(Buffer.from('dropped'))
    await until(() => world.limits.length === 4, 'four limit events')
    for (const limit of world.limits) {
      assert.deepEqual(
        [limit.name, limit.limit, limit.action, limit.sid, limit.remoteAddress],
        ['maxSendBuffer', MB, 'dropped', sid, '127.0.0.1'],
      )
      assert.ok(limit.value > MB, `value ${limit.value}`)
    }
    peer.resume()
    assert.equal((await readText(peer)).length, HUGE.length + 1)
    await until(() => session.socket.writeBuffer.length === 0, 'an empty queue')
    session.socket.send('after')
    assert.equal(await readText(peer), '4after')
    assert.deepEqual(session.closes, [])
  })

  wire('works on polling', options, async (world) => {
    const client = await openPolling(world)
    const { socket } = client.session
    socket.send('x'.repeat(2 * MB))
    socket.send('dropped')
    await until(() => world.limits.length === 1, 'the limit event')
    assert.equal((await client.poll()).length, 2 * MB + 1)
    socket.send('after')
    assert.equal(await client.poll(), '4after')
    assert.deepEqual(client.session.closes, [])
  })

  wire('calls no callback of a dropped message as if it had been sent', options, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.pause()
    const calls = []
    const callback = (name) => (result) =>
      calls.push([name, result instanceof Error ? 'failed' : 'sent'])
    session.socket.send(HUGE, callback('huge'))
    await waiting(session)
    session.socket.send('dropped', callback('dropped'))
    await until(() => world.limits.length === 1, 'the limit event')
    peer.resume()
    assert.equal((await readText(peer)).length, HUGE.length + 1)
    await until(() => session.socket.writeBuffer.length === 0, 'an empty queue')
    session.socket.send('after', callback('after'))
    assert.equal(await readText(peer), '4after')
    await until(
      () => calls.some(([name]) => name === 'after'),
      () => `the callback of the message that was sent, not ${JSON.stringify(calls)}`,
    )
    assert.deepEqual(
      calls.filter(([, result]) => result === 'sent'),
      [
        ['huge', 'sent'],
        ['after', 'sent'],
      ],
    )
  })

  wire('reports at most ten events a second', options, async (world) => {
    const { peer, session } = await openWebSocket(world)
    peer.pause()
    session.socket.send(HUGE)
    await waiting(session)
    const started = performance.now()
    for (let index = 0; index < 500; index++) session.socket.send('dropped')
    session.socket.once('close', () => {})
    await until(() => world.limits.length >= 10, 'ten limit events')
    await new Promise((resolve) => setImmediate(resolve))
    const seconds = Math.floor((performance.now() - started) / 1000) + 2
    assert.ok(world.limits.length <= seconds * 10, `${world.limits.length} events`)
  })
})

describe('maxReceiveQueue', () => {
  /** An app that the test can block. It checks that messages come in order, and echoes the last. */
  async function program(options) {
    const server = createServer()
    const engine = new Engine(options)
    engine.attach(server)
    engine.on('connection', (socket) => {
      let next = 0
      socket.on('data', (data) => {
        if (data === 'block') {
          block(1000)
          // Over IPC, so that the test knows when the loop turns again.
          tell('unblocked')
          return
        }
        if (data === 'end') return socket.send(`end ${next}`)
        if (Number(data.slice(0, 8)) !== next) tell('disorder', data.slice(0, 8))
        next++
      })
      socket.on('close', (reason) => tell('close', reason))
    })
    engine.on('limit', (limit) => tell('limit', limit))
    tell('port', await listen(server))
  }

  for (const limit of [10_000, 300_000]) {
    test(`stops reading at ${limit}, reports the pause, and loses nothing`, {
      timeout: 30_000,
    }, async (t) => {
      const app = await App.start(t, program, { maxReceiveQueue: limit })
      const peer = await Peer.connect(app.port)
      t.after(() => peer.destroy())
      peer.write(upgrade())
      const { sid } = await opened(peer)
      const count = 4000
      peer.write(text('4block'))
      for (let index = 0; index < count; index++) {
        peer.write(text(`4${String(index).padStart(8, '0')}${'x'.repeat(10_000)}`))
      }
      peer.write(text('4end'))
      // While the app is blocked, the server and the two kernels take a little: not 40 MB.
      await app.report('unblocked')
      assert.ok(peer.unsent > 0, 'the server has stopped reading')
      assert.equal(await readText(peer), `4end ${count}`)
      assert.deepEqual(app.values('disorder'), [])
      assert.deepEqual(app.values('close'), [])
      const [first, ...more] = app.values('limit')
      assert.deepEqual(
        [first.name, first.limit, first.action, first.sid, first.remoteAddress],
        ['maxReceiveQueue', limit, 'paused', sid, '127.0.0.1'],
      )
      for (const each of [first, ...more]) {
        assert.ok(each.value > limit, `value ${each.value}`)
        // One turn reads at most 64 KiB.
        assert.ok(each.value < limit + 128 * 1024, `value ${each.value} of ${limit}`)
      }
    })
  }

  test('delays the next POST on polling and loses nothing', { timeout: 30_000 }, async (t) => {
    const limit = 300_000
    const app = await App.start(t, program, { maxReceiveQueue: limit })
    const poll = await Peer.connect(app.port)
    const peer = await Peer.connect(app.port)
    t.after(() => {
      poll.destroy()
      peer.destroy()
    })
    poll.write(get(POLLING))
    const { sid } = JSON.parse((await response(poll)).text.slice(1))
    const target = `${POLLING}&sid=${sid}`
    // As many packets as a body can hold: they cost far more memory here than on the wire.
    const perPost = 90_000
    const posts = 5
    let number = 0
    for (let count = 0; count < posts; count++) {
      const packets = Array.from({ length: perPost }, () => `4${String(number++).padStart(8, '0')}`)
      peer.write(post(target, packets.join('\x1e')))
      assert.equal((await response(peer)).text, 'ok')
    }
    peer.write(post(target, '4end'))
    poll.write(get(target))
    assert.equal((await response(poll)).text, `4end ${perPost * posts}`)
    assert.deepEqual(app.values('disorder'), [])
    assert.deepEqual(app.values('close'), [])
    for (const { name, action, value } of app.values('limit')) {
      assert.deepEqual([name, action], ['maxReceiveQueue', 'paused'])
      // Packets are handled 256 at a time.
      assert.ok(value > limit && value < limit + 256 * 80, `value ${value}`)
    }
    assert.ok(app.values('limit').length > 0, 'a paused event')
  })

  wire('passes a message larger than the queue', { maxReceiveQueue: 1000 }, async (world) => {
    const { peer, session } = await openWebSocket(world)
    const message = 'x'.repeat(500_000)
    for (let round = 0; round < 3; round++) peer.write(text(`4${message}`))
    await session.received(3)
    for (const got of session.messages) assert.equal(got.length, message.length)
  })
})

describe('maxFragments', () => {
  const options = { maxFragments: 8 }
  const piece = (payload, fin = false) => frame(OP.CONTINUATION, payload, { fin })

  wire(
    'takes exactly this many as one message, and does not count pings in between',
    options,
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.write(text('4a', { fin: false }))
      for (let index = 2; index <= 8; index++)
        peer.write(frame(OP.PING, ''), piece(String(index), index === 8))
      assert.deepEqual(await session.received(1), ['a2345678'])
    },
  )

  for (const [name, payload] of [
    ['one more', 'x'],
    ['one more when all are empty', ''],
  ]) {
    wire(`closes at ${name}: 1008, transport error`, options, async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.write(text('4', { fin: false }), ...Array(8).fill(piece(payload)))
      assert.equal(await readClose(peer), 1008)
      await readEnd(peer)
      const { reason, description } = await session.closed()
      assert.equal(reason, 'transport error')
      assert.equal(description.code, 'ERR_UPWIRE_TOO_MANY_FRAGMENTS')
      assert.deepEqual(
        [description.limit, description.value, description.wsCode],
        ['maxFragments', 8, 1008],
      )
      assert.equal((await limitOf(world, 'maxFragments')).action, 'closed')
    })
  }

  wire('defaults to 16,384, counted anew for each message', {}, async (world) => {
    const { peer, session } = await openWebSocket(world)
    const first = text('4', { fin: false })
    const empty = piece('')
    for (let round = 0; round < 2; round++) {
      peer.write(first, Buffer.alloc(empty.length * 16_382, empty), piece('end', true))
    }
    assert.deepEqual(await session.received(2), ['end', 'end'])
    peer.write(first, Buffer.alloc(empty.length * 16_384, empty))
    assert.equal(await readClose(peer), 1008)
    await session.closed()
  })
})

describe('maxHttpBufferSize emits a limit event', () => {
  const options = { maxHttpBufferSize: 1000 }

  wire('for a frame', options, async (world) => {
    const { peer, session, sid } = await openWebSocket(world)
    peer.write(text('x'.repeat(1001)))
    assert.equal(await readClose(peer), 1009)
    await session.closed()
    const limit = await limitOf(world, 'maxHttpBufferSize')
    assert.deepEqual([limit.limit, limit.action, limit.sid], [1000, 'closed', sid])
  })

  wire('for a body', options, async (world) => {
    const client = await openPolling(world)
    const headers = { Host: '127.0.0.1', 'Content-Length': 1001 }
    const peer = await world.peer(request(`POST ${client.target}`, headers))
    assert.equal((await response(peer)).status, 413)
    await client.session.closed()
    const limit = await limitOf(world, 'maxHttpBufferSize')
    assert.deepEqual([limit.limit, limit.action, limit.sid], [1000, 'closed', client.sid])
  })
})

describe('maxPendingPongs', () => {
  wire(
    'keeps only this many unsent pongs, the newest ones',
    { maxPendingPongs: 5, maxSendBuffer: 0 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.pause()
      session.socket.send(HUGE)
      await waiting(session)
      for (let index = 0; index < 1000; index++) peer.write(frame(OP.PING, String(index)))
      peer.write(text('4last'))
      await session.received(1)
      peer.resume()
      assert.equal((await readText(peer)).length, HUGE.length + 1)
      const pongs = []
      while (pongs.at(-1) !== 999) {
        const { opcode, text: payload } = await readFrame(peer)
        assert.equal(opcode, OP.PONG)
        pongs.push(Number(payload))
      }
      assert.ok(pongs.length <= 6, `${pongs.length} pongs: ${pongs}`)
      assert.deepEqual(
        pongs,
        [...pongs].sort((a, b) => a - b),
        'in order',
      )
      // Afterwards everything works as before.
      peer.write(frame(OP.PING, 'again'))
      assert.equal((await readFrame(peer)).text, 'again')
    },
  )
})

describe('maxPendingHandshakes and handshakeTimeout', () => {
  wire(
    'lets this many wait and refuses the next with 503; one that finishes makes room',
    { maxPendingHandshakes: 3 },
    async (world) => {
      const waits = []
      world.goodQuery = { good: 1 }
      world.engine.opts.allowRequest = (req, done) =>
        req._query.good ? done(null, true) : waits.push(done)
      const peers = [
        await world.peer(get(POLLING)),
        await world.peer(upgrade()),
        await world.peer(get(POLLING)),
      ]
      await until(() => waits.length === 3, 'three waiting handshakes')
      const refused = await response(await world.peer(get(POLLING)))
      assert.equal(refused.status, 503)
      assert.deepEqual(refused.json, { code: 4, message: 'Too many connections' })
      waits[0](null, true)
      assert.equal((await response(peers[0])).status, 200)
      const next = await world.peer(upgrade())
      await until(() => waits.length === 4, 'the next handshake to be accepted')
      waits[1](null, true)
      waits[2]('no', false)
      waits[3](null, true)
      await opened(peers[1])
      assert.equal((await response(peers[2])).status, 403)
      await opened(next)
      const limit = await limitOf(world, 'maxPendingHandshakes')
      assert.deepEqual([limit.limit, limit.action, limit.sid], [3, 'refused', undefined])
      assert.equal(limit.remoteAddress, '127.0.0.1')
    },
  )

  wire('does not count requests of sessions', { maxPendingHandshakes: 1 }, async (world) => {
    const client = await openPolling(world)
    const held = deferred()
    world.engine.opts.allowRequest = (_req, done) => held.resolve(done)
    const peer = await world.peer(get(POLLING))
    const done = await held.promise
    await client.prove()
    const probe = await client.probe()
    probe.write(text('2probe'))
    assert.equal(await readText(probe), '3probe')
    done(null, true)
    await response(peer)
    world.engine.opts.allowRequest = undefined
  })

  wire('handshakeTimeout emits a limit event', { handshakeTimeout: 60 }, async (world) => {
    world.goodQuery = { good: 1 }
    world.engine.opts.allowRequest = (req, done) => req._query.good && done(null, true)
    assert.equal((await response(await world.peer(get(POLLING)))).status, 503)
    const limit = await limitOf(world, 'handshakeTimeout')
    assert.deepEqual([limit.limit, limit.action], [60, 'refused'])
    assert.equal(limit.remoteAddress, '127.0.0.1')
  })
})

describe('closing by the server', () => {
  wire(
    'resets after closeTimeout a peer that neither reads nor answers',
    { closeTimeout: 100, maxSendBuffer: 0 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      peer.pause()
      session.socket.send(HUGE)
      await waiting(session)
      session.socket.close()
      assert.equal((await session.closed()).reason, 'forced close')
      peer.resume()
      await peer.rest()
      assert.equal(peer.ended, 'reset')
    },
  )

  wire(
    'writes first what was sent before close(), if the peer reads it in time',
    { closeTimeout: 5000 },
    async (world) => {
      const { peer, session } = await openWebSocket(world)
      session.socket.send('x'.repeat(10 * MB))
      session.socket.send('last')
      session.socket.close()
      assert.equal((await readText(peer)).length, 10 * MB + 1)
      assert.equal(await readText(peer), '4last')
      assert.equal(await readClose(peer), undefined)
      peer.write(frame(OP.CLOSE))
      await readEnd(peer)
    },
  )

  wire('answers a parked GET with 1, or the next GET when none is parked', {}, async (world) => {
    const parked = await openPolling(world)
    const peer = await parked.park()
    parked.session.socket.close()
    assert.equal((await response(peer)).text, '1')
    assert.equal((await parked.session.closed()).reason, 'forced close')

    const absent = await openPolling(world)
    absent.session.socket.close()
    assert.equal(absent.session.socket.readyState, 'closing')
    assert.match(await absent.poll(), /^(6\x1e)?1$/)
    assert.equal((await absent.session.closed()).reason, 'forced close')
  })
})
