// The rules for volatile messages (docs/protocol.md#volatile-messages): they are dropped only when
// the connection is busy, and then always.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pair } from '../support/clients.mjs'
import { gather, until } from '../support/events.mjs'
import { serve } from '../support/servers.mjs'

const binary = Buffer.from([1, 2, 3])

for (const transport of ['polling', 'websocket']) {
  describe(`volatile over ${transport}`, () => {
    async function ends(t) {
      const served = await serve(t)
      const { near, far } = await pair(t, served, { transports: [transport] })
      await quiet(far)
      return { ...served, near, far }
    }

    /** Waits until nothing is under way to the client and, on polling, a GET is parked. */
    function quiet(far) {
      return until(() => far.conn.transport.writable, 'an idle connection')
    }

    /**
     * How many of the events "ev" that `send` emits arrive. A normal message behind them marks the
     * end.
     */
    async function count({ near, far }, send) {
      const events = gather(near, 'ev')
      const ends = gather(near, 'end')
      send()
      far.emit('end')
      await until(() => ends.length > 0, 'the end')
      near.off('ev')
      near.off('end')
      await quiet(far)
      return events.length
    }

    test('a single one is delivered', async (t) => {
      const { near, far, io } = await ends(t)
      assert.equal(await count({ near, far }, () => far.volatile.emit('ev', 'data')), 1)
      assert.equal(await count({ near, far }, () => io.volatile.emit('ev', 'data')), 1)
      assert.equal(await count({ near, far }, () => far.volatile.emit('ev', binary)), 1)
    })

    test('exactly one of two in one tick is delivered', async (t) => {
      const { near, far } = await ends(t)
      for (let round = 0; round < 5; round++) {
        const got = await count({ near, far }, () => {
          far.volatile.emit('ev', 'data')
          far.volatile.emit('ev', 'data')
        })
        assert.equal(got, 1)
      }
    })

    test('exactly one of two binary ones in one tick is delivered', async (t) => {
      const { near, far } = await ends(t)
      const got = await count({ near, far }, () => {
        far.volatile.emit('ev', binary)
        far.volatile.emit('ev', binary)
      })
      assert.equal(got, 1)
    })

    test('exactly one of two broadcasts in one tick is delivered', async (t) => {
      const { near, far, io } = await ends(t)
      for (const data of ['data', binary]) {
        const got = await count({ near, far }, () => {
          io.volatile.emit('ev', data)
          io.volatile.emit('ev', data)
        })
        assert.equal(got, 1)
      }
    })

    test('one right after a normal message is dropped', async (t) => {
      const { near, far } = await ends(t)
      const got = await count({ near, far }, () => {
        far.emit('ev', 'normal')
        far.volatile.emit('ev', 'volatile')
      })
      assert.equal(got, 1)
    })

    test('normal messages around a dropped one arrive', async (t) => {
      const { near, far } = await ends(t)
      const events = gather(near, 'ev')
      far.emit('ev', 1)
      far.volatile.emit('ev', 2)
      far.emit('ev', 3)
      await until(() => events.some(([n]) => n === 3), 'the last message')
      assert.deepEqual(events, [[1], [3]])
    })

    test('writable is false from the first write until that has been handed over', async (t) => {
      const { near, far } = await ends(t)
      const events = gather(near, 'ev')
      assert.equal(far.conn.transport.writable, true)
      far.emit('ev', 1)
      assert.equal(far.conn.transport.writable, false)
      await until(() => events.length === 1, 'the message')
      await quiet(far)
      assert.equal(far.conn.transport.writable, true)
    })

    test('one to a client that has left is dropped without harm', async (t) => {
      const { near, far } = await ends(t)
      near.disconnect()
      await until(() => !far.connected, 'the disconnect')
      assert.doesNotThrow(() => far.volatile.emit('ev', 1))
    })
  })
}

test('over polling a volatile message is dropped while no GET is parked', async (t) => {
  const served = await serve(t)
  const { near, far } = await pair(t, served, { transports: ['polling'] })
  await until(() => far.conn.transport.writable, 'a parked GET')
  // From here on the client does not poll again until the test lets it.
  const { transport } = near.io.engine
  const poll = transport._poll
  let held
  transport._poll = function () {
    held = () => poll.call(this)
  }
  const events = gather(near, 'ev')
  far.emit('ev', 'answers the GET')
  await until(() => held !== undefined && events.length === 1, 'the GET to be answered')
  assert.equal(far.conn.transport.writable, false)
  far.volatile.emit('ev', 'dropped')
  far.emit('ev', 'kept')
  transport._poll = poll
  held()
  await until(() => events.length === 2, 'the kept message')
  assert.deepEqual(events, [['answers the GET'], ['kept']])
})

test('a volatile broadcast is dropped only for the busy client', async (t) => {
  const served = await serve(t)
  const busy = await pair(t, served, { transports: ['websocket'] })
  const idle = await pair(t, served, { transports: ['websocket'] })
  await until(
    () => busy.far.conn.transport.writable && idle.far.conn.transport.writable,
    'both connections to be idle',
  )
  const forBusy = gather(busy.near, 'ev')
  const forIdle = gather(idle.near, 'ev')
  busy.far.emit('ev', 'direct')
  served.io.volatile.emit('ev', 'volatile')
  served.io.emit('ev', 'end')
  await until(() => forBusy.at(-1)?.[0] === 'end' && forIdle.at(-1)?.[0] === 'end', 'the end')
  assert.deepEqual(forBusy, [['direct'], ['end']])
  assert.deepEqual(forIdle, [['volatile'], ['end']])
})

test('a volatile message is dropped while the peer does not read', async (t) => {
  const served = await serve(t)
  const { near, far } = await pair(t, served, { transports: ['websocket'] })
  const stream = near.io.engine.transport.ws._socket
  stream.pause()
  const big = Buffer.alloc(900_000)
  let sent = 0
  // The kernel takes some megabytes; after that the server holds the bytes.
  await until(() => {
    if (far.conn.transport.socket.bufferedAmount > 0) return true
    far.emit('big', big)
    sent++
    return false
  }, 'waiting bytes')
  const events = gather(near, 'ev')
  const bigs = gather(near, 'big')
  assert.equal(far.conn.transport.writable, false)
  far.volatile.emit('ev', 'dropped')
  far.emit('ev', 'kept')
  stream.resume()
  await until(() => events.length > 0, 'the kept message', 10_000)
  assert.deepEqual(events, [['kept']])
  assert.equal(bigs.length, sent)
  await until(() => far.conn.transport.writable, 'an idle connection')
})
