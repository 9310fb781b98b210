// What JavaScript receives of messages, and that delivery never keeps its event loop from turning
// (docs/protocol.md#packets).

import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { until } from '../support/events.mjs'
import { openPolling, openWebSocket } from '../support/engine-clients.mjs'
import { OP, frame, text } from '../support/frames.mjs'
import { wire } from '../support/world.mjs'

describe('binary messages', () => {
  const SIZES = [0, 1, 64, 8192, 8193, 300_000]
  const bytes = (size, fill) => Buffer.alloc(size, fill)

  wire('own their memory: nothing else is reachable from one', {}, async (world) => {
    const clients = []
    for (let index = 0; index < 4; index++) clients.push(await openWebSocket(world))
    for (const size of SIZES) {
      for (const [index, { peer }] of clients.entries()) {
        peer.write(frame(OP.BINARY, bytes(size, index + 1)))
      }
    }
    for (const [index, { session }] of clients.entries()) {
      await session.received(SIZES.length)
      for (const [at, message] of session.messages.entries()) {
        assert.ok(Buffer.isBuffer(message))
        assert.deepEqual(message, bytes(SIZES[at], index + 1))
        assert.equal(message.byteOffset, 0)
        assert.equal(message.buffer.byteLength, SIZES[at])
      }
    }
  })

  wire('can be transferred without harm to others', {}, async (world) => {
    const worker = new Worker(
      "require('node:worker_threads').parentPort.on('message', (m) => m === 'end' && process.exit())",
      { eval: true },
    )
    const [first, second] = [await openWebSocket(world), await openWebSocket(world)]
    first.session.socket.on('data', (data) => worker.postMessage(data, [data.buffer]))
    const rounds = 20
    for (let round = 0; round < rounds; round++) {
      for (const size of [64, 9000, 200_000]) {
        first.peer.write(frame(OP.BINARY, bytes(size, 1)))
        second.peer.write(frame(OP.BINARY, bytes(size, 2)))
      }
    }
    await first.session.received(3 * rounds)
    await second.session.received(3 * rounds)
    for (const message of first.session.messages) assert.equal(message.byteLength, 0, 'transferred')
    for (const message of second.session.messages) {
      assert.ok(message.byteLength >= 64 && message.every((byte) => byte === 2))
    }
    worker.postMessage('end')
    await until(() => worker.threadId === -1, 'the worker to end')
  })
})

describe('the event loop keeps turning', () => {
  /** Counts the turns of the loop until `isDone`. */
  async function turns(isDone) {
    let count = 0
    while (!isDone()) {
      await setImmediate()
      count++
    }
    return count
  }

  wire('while send callbacks send again', {}, async (world) => {
    const { session } = await openWebSocket(world)
    let sent = 0
    const again = () => {
      if (++sent < 1000) session.socket.send('x', undefined, again)
    }
    session.socket.send('x', undefined, again)
    const count = await turns(() => sent >= 1000)
    assert.ok(count >= 100, `${count} turns for 1,000 callbacks`)
  })

  wire('while drain listeners send again', {}, async (world) => {
    const { session } = await openWebSocket(world)
    let drained = 0
    session.socket.on('drain', () => {
      if (++drained < 1000) session.socket.send('x')
    })
    session.socket.send('x')
    const count = await turns(() => drained >= 1000)
    assert.ok(count >= 100, `${count} turns for 1,000 drains`)
  })

  wire(
    'while handlers are slow: they run in groups of at most eight per turn',
    {},
    async (world) => {
      const clients = []
      for (let index = 0; index < 4; index++) clients.push(await openWebSocket(world))
      let handled = 0
      for (const { session } of clients) {
        session.socket.on('data', () => {
          handled++
          const end = performance.now() + 1
          while (performance.now() < end);
        })
      }
      const each = 50
      for (const { peer } of clients) {
        peer.write(Buffer.concat(Array.from({ length: each }, () => text('4x'))))
      }
      let most = 0
      let before = 0
      await turns(() => {
        most = Math.max(most, handled - before)
        before = handled
        return handled === 4 * each
      })
      assert.ok(most <= 9, `${most} handlers of a millisecond in one turn`)
    },
  )
})

describe('polling', () => {
  wire('a payload of many megabytes arrives whole', {}, async (world) => {
    const client = await openPolling(world)
    const answer = client.poll()
    client.session.socket.send(Buffer.alloc(9_000_000, 7))
    const got = await answer
    assert.equal(got[0], 'b')
    assert.ok(Buffer.from(got.slice(1), 'base64').equals(Buffer.alloc(9_000_000, 7)))
  })
})
