// Bytes that a peer sends while the app decides about its upgrade
// (docs/protocol.md#handshake-and-http).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { deferred, until } from '../support/events.mjs'
import { opened } from '../support/engine-clients.mjs'
import { text } from '../support/frames.mjs'
import { WEBSOCKET, response, upgrade } from '../support/requests.mjs'
import { wire } from '../support/world.mjs'

const MAX = 64 * 1024
const MAX_TOTAL = 16 * 1024 * 1024

/**
 * Lets all upgrades but the good client's wait; returns a function that decides on the next one.
 */
function holdUpgrades(world) {
  const waiting = []
  world.goodQuery = { good: 1 }
  world.engine.opts.allowRequest = (req, decide) =>
    req._query.good ? decide(null, true) : waiting.push(decide)
  return waiting
}

async function undecided(world, ...behind) {
  const waiting = holdUpgrades(world)
  const peer = await world.peer(upgrade(), ...behind)
  await until(() => waiting.length === 1, 'the app to be asked')
  return { peer, decide: waiting[0] }
}

/** A frame of exactly this many bytes. */
function frameOf(length) {
  return text(`4${'x'.repeat(length - 9)}`)
}

function early({ engine }) {
  return engine.stats().earlyBytes
}

describe('bytes ahead of the answer', () => {
  wire('cost no more than their size when they come in segments of one byte', {}, async (world) => {
    const { peer, decide } = await undecided(world)
    const bytes = frameOf(5000)
    for (const byte of bytes) await peer.write(Buffer.from([byte])).flushed()
    await until(() => early(world) >= bytes.length, 'all bytes')
    assert.ok(early(world) <= 2 * bytes.length, `${early(world)} bytes are held`)
    decide(null, true)
    await opened(peer)
    const [message] = await (await world.session()).received(1)
    assert.equal(message.length, bytes.length - 9)
    assert.equal(early(world), 0)
  })

  wire('are held up to 64 KiB and delivered after the open packet', {}, async (world) => {
    const { peer, decide } = await undecided(world, frameOf(30_000))
    peer.write(frameOf(MAX - 30_000))
    await until(
      () => early(world) === MAX,
      () => `64 KiB to be held, not ${early(world)}`,
    )
    decide(null, true)
    await opened(peer)
    const messages = await (await world.session()).received(2)
    assert.deepEqual(
      messages.map(({ length }) => length),
      [30_000 - 9, MAX - 30_000 - 9],
    )
    assert.equal(early(world), 0)
  })

  wire('get 400 beyond 64 KiB, with a limit event and no session', {}, async (world) => {
    const { peer, decide } = await undecided(world, frameOf(30_000))
    peer.write(frameOf(MAX - 30_000), 'x')
    const answer = await response(peer)
    assert.deepEqual([answer.status, answer.text], [400, 'Bad request'])
    assert.equal((await peer.rest()).length, 0)
    assert.equal(peer.ended, 'fin')
    assert.deepEqual(await world.refusal(), {
      code: 3,
      message: 'Bad request',
      context: { name: 'EARLY_BYTES' },
    })
    const [limit] = world.limits
    assert.deepEqual([limit.name, limit.limit, limit.action], ['earlyBytes', MAX, 'refused'])
    assert.ok(limit.value > MAX)
    assert.equal(limit.remoteAddress, '127.0.0.1')
    assert.deepEqual(world.engine.stats().limits, { 'earlyBytes refused': 1 })
    decide(null, true)
    assert.equal(early(world), 0)
    assert.deepEqual(world.sessions, [])
  })

  wire(
    'are held up to 16 MiB for all upgrades together; then the next get 503',
    {},
    async (world) => {
      const waiting = holdUpgrades(world)
      const bytes = frameOf(MAX)
      const peers = await Promise.all(
        Array.from({ length: MAX_TOTAL / MAX }, () => world.peer(upgrade(), bytes)),
      )
      await until(
        () => early(world) === MAX_TOTAL,
        () => `16 MiB to be held, not ${early(world)}`,
      )
      const last = await world.peer(upgrade(), 'x')
      assert.equal((await response(last)).status, 503)
      const [{ name, limit, action }] = world.limits
      assert.deepEqual([name, limit, action], ['totalEarlyBytes', MAX_TOTAL, 'refused'])
      assert.equal((await world.refusal()).context.name, 'TOO_MANY_HANDSHAKES')
      waiting[0](null, true)
      await until(() => world.sessions.length === 1, 'the first session')
      await world.sessions[0].received(1)
      for (const peer of peers) peer.destroy()
      await until(() => early(world) === 0, 'all memory to be free')
    },
  )
})

describe('a peer that leaves is noticed, however much it has sent', () => {
  const sizes = { nothing: 0, 'some bytes': 1000, 'too many bytes': 1_000_000 }
  for (const [name, size] of Object.entries(sizes)) {
    for (const leave of ['finish', 'destroy', 'reset']) {
      wire(`after it has sent ${name}, by ${leave}`, {}, async (world) => {
        const { peer } = await undecided(world)
        if (size > 0) await peer.write(Buffer.alloc(size)).flushed()
        peer[leave]()
        // handshakeTimeout is 20 s.
        await until(() => world.engine.stats().pendingHandshakes === 0, 'the handshake to end')
        assert.equal(early(world), 0)
        assert.deepEqual(world.sessions, [])
      })
    }
  }

  wire('while a middleware never calls next', {}, async (world) => {
    const asked = deferred()
    world.goodQuery = { good: 1 }
    world.engine.use((req, _res, next) => (req._query.good ? next() : asked.resolve()))
    const peer = await world.peer(upgrade(WEBSOCKET), Buffer.alloc(1000))
    await asked.promise
    peer.finish()
    assert.equal((await peer.rest()).length, 0)
  })
})
