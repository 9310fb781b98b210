// The basics of every Socket.IO app: messages with acknowledgements, text and binary, in both
// directions, over each order of transports.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TRANSPORTS, client, pair, settled } from '../support/clients.mjs'
import { event, gather, until } from '../support/events.mjs'
import { serve } from '../support/servers.mjs'

const SMALL = [0, 1, 125, 126, 65_535, 65_536]
const TEXTS = [
  'plain',
  'Grüße, žluťoučký kůň',
  '日本語 한국어 العربية',
  '🎉👩‍👩‍👧‍👦 𝒳',
  'nul \u0000, separator \u001e, lines \u2028\u2029\r\n',
  'lone \ud800 surrogate',
  '\ufeffbom',
]

function bytes(length, seed = 7) {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 31 + seed) & 255))
}

for (const { transports, settles } of TRANSPORTS) {
  describe(`socket.io-client over ${JSON.stringify(transports)}`, () => {
    /** Both ends, once they are on their final transport. */
    async function ends(t, opts) {
      const served = await serve(t, opts)
      const { near, far } = await pair(t, served, { transports })
      await settled(near, settles)
      await until(() => far.conn.transport.name === settles, 'the server to be upgraded')
      far.on('echo', (...args) => args.pop()(...args))
      near.on('echo', (...args) => args.pop()(...args))
      return { near, far, ...served }
    }

    test('messages are acknowledged in both directions', async (t) => {
      const { near, far } = await ends(t)
      const value = { a: [1, 2.5, null, true], b: { c: 'text' }, d: '' }
      assert.deepEqual(await near.timeout(5000).emitWithAck('echo', value), value)
      assert.deepEqual(await far.timeout(5000).emitWithAck('echo', value), value)
    })

    test('an acknowledgement that never comes times out', async (t) => {
      const { near, far } = await ends(t)
      await assert.rejects(near.timeout(30).emitWithAck('nobody'), /timed out/)
      await assert.rejects(far.timeout(30).emitWithAck('nobody'), /timed out/)
    })

    test('text of every kind arrives unchanged in both directions', async (t) => {
      const { near, far } = await ends(t)
      for (const text of TEXTS) {
        assert.equal(await near.timeout(5000).emitWithAck('echo', text), text)
        assert.equal(await far.timeout(5000).emitWithAck('echo', text), text)
      }
    })

    test('binary data of every size arrives in both directions', async (t) => {
      const { near, far } = await ends(t)
      const sizes = settles === 'websocket' ? [...SMALL, 900_000] : SMALL
      for (const size of sizes) {
        const sent = bytes(size)
        const fromServer = await near.timeout(5000).emitWithAck('echo', sent)
        assert.ok(sent.equals(fromServer), `${size} bytes from the client`)
        const fromClient = await far.timeout(5000).emitWithAck('echo', sent)
        assert.ok(sent.equals(Buffer.from(fromClient)), `${size} bytes from the server`)
      }
    })

    test('several attachments of several types travel in one message', async (t) => {
      const { near, far } = await ends(t)
      const whole = bytes(100)
      const sent = {
        buffer: whole,
        view: new Uint8Array(whole.buffer, whole.byteOffset + 10, 20),
        nested: [{ arrayBuffer: Uint8Array.from([1, 2, 3]).buffer }, 'text'],
        floats: new Float32Array([1.5, -2]),
      }
      const check = (got) => {
        assert.deepEqual(Buffer.from(got.buffer), whole)
        assert.deepEqual(Buffer.from(got.view), whole.subarray(10, 30))
        assert.deepEqual(Buffer.from(got.nested[0].arrayBuffer), Buffer.from([1, 2, 3]))
        assert.equal(got.nested[1], 'text')
        assert.deepEqual(Buffer.from(got.floats), Buffer.from(new Float32Array([1.5, -2]).buffer))
      }
      check(await near.timeout(5000).emitWithAck('echo', sent))
      check(await far.timeout(5000).emitWithAck('echo', sent))
    })

    test('a burst keeps its order, text and binary mixed, in both directions at once', async (t) => {
      const { near, far } = await ends(t)
      const count = 2000
      const atServer = gather(far, 'n')
      const atClient = gather(near, 'n')
      for (let n = 0; n < count; n++) {
        const extra = n % 7 === 0 ? bytes(n % 300) : 'x'.repeat(n % 300)
        near.emit('n', n, extra)
        far.emit('n', n, extra)
      }
      await until(
        () => atServer.length >= count && atClient.length >= count,
        'all messages',
        15_000,
      )
      for (const got of [atServer, atClient]) {
        assert.equal(got.length, count)
        got.forEach(([n, extra], index) => {
          assert.equal(n, index)
          assert.equal(extra.length ?? extra.byteLength, n % 300)
        })
      }
    })

    test('messages sent in the connection handler and before connecting arrive', async (t) => {
      const served = await serve(t)
      const early = []
      served.io.on('connection', (socket) => {
        socket.on('early', (n) => early.push(n))
        socket.emit('welcome', 1)
        socket.emit('welcome', 2)
      })
      const arrival = event(served.io, 'connection')
      const near = client(t, served.url, { transports })
      const welcomes = gather(near, 'welcome')
      near.emit('early', 1)
      near.emit('early', 2)
      await arrival
      await until(() => welcomes.length === 2 && early.length === 2, 'all messages')
      assert.deepEqual(welcomes, [[1], [2]])
      assert.deepEqual(early, [1, 2])
    })
  })
}
