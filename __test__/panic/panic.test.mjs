// Runs on an addon built with the cargo feature `test-panic`, which `npm test` builds separately.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { createRequire } from 'node:module'
import { after, before, test } from 'node:test'
import { io as connect } from 'socket.io-client'
import { until } from '../support/events.mjs'
import { listen } from '../support/ports.mjs'

const require = createRequire(import.meta.url)
const { attach } = require('../../index.js')
const native = require('../../native/binding.js')

const skip = native.testPanic === undefined && 'the addon is built without the feature test-panic'

let server
let io
let url

before(async () => {
  server = http.createServer()
  io = attach(server)
  io.on('connection', (socket) => socket.on('echo', (data, ack) => ack(data)))
  url = `http://127.0.0.1:${await listen(server)}`
})

after(() => io.close())

async function client() {
  const socket = connect(url, {
    transports: ['websocket'],
    forceNew: true,
    reconnection: false,
  })
  await once(socket, 'connect')
  return socket
}

test('a panic in an export becomes an error', { skip }, () => {
  assert.throws(() => native.testPanic(), { code: 'ERR_UPWIRE_INTERNAL' })
})

test('a panic in a session ends only that session', { skip }, async () => {
  const [victim, other] = [await client(), await client()]
  const face = [...io.sockets.sockets.values()][0].conn
  const closed = once(face, 'close')
  const gone = once(victim, 'disconnect')
  const { panics } = io.engine.stats()
  native.panicSession(face._slot, face._generation)
  native.flushAndWait(1000)
  const [reason, description] = await closed
  assert.equal(reason, 'transport error')
  assert.equal(description.code, 'ERR_UPWIRE_INTERNAL')
  const [, { context: frame }] = await gone
  assert.equal(frame.code, 1011)
  assert.equal(io.engine.stats().panics, panics + 1)
  assert.equal(await other.emitWithAck('echo', 'still here'), 'still here')
  const next = await client()
  assert.equal(await next.emitWithAck('echo', 'and new ones'), 'and new ones')
  other.disconnect()
  next.disconnect()
})

test('a message that cannot be delivered ends only its session', { skip }, async () => {
  const [victim, other] = [await client(), await client()]
  const face = [...io.sockets.sockets.values()].find(({ id }) => id === victim.id).conn
  const got = []
  const messages = []
  face.on('data', (data) => got.push(data))
  io.sockets.sockets.get(victim.id).on('n', (n) => messages.push(n))
  const closed = once(face, 'close')
  const gone = once(victim, 'disconnect')
  native.failDelivery(3)
  for (let n = 0; n < 20; n++) victim.emit('n', n)
  const [reason, description] = await closed
  assert.equal(reason, 'transport error')
  assert.equal(description.code, 'ERR_UPWIRE_UNDELIVERABLE')
  assert.equal((await gone)[1].context.code, 1011)
  assert.equal(got.length, 2, 'nothing after the missing message is delivered')
  assert.deepEqual(messages, [0, 1])
  assert.equal(await other.emitWithAck('echo', 'still here'), 'still here')
  const next = await client()
  assert.equal(await next.emitWithAck('echo', 'and new ones'), 'and new ones')
  await until(() => io.engine.stats().undelivered === 0, 'all messages to be accounted for')
  other.disconnect()
  next.disconnect()
})

test('a panic outside any session leaves the thread running', { skip }, async () => {
  const other = await client()
  const face = [...io.sockets.sockets.values()][0].conn
  const { panics } = io.engine.stats()
  for (let count = 1; count <= 3; count++) {
    native.panicThread(face._slot)
    // The panic also loses the answer.
    native.flushAndWait(1)
    assert.equal(await other.emitWithAck('echo', count), count)
  }
  assert.equal(io.engine.stats().panics, panics + 3)
  other.disconnect()
})

test('sessions emit events however often their slot has been used', { skip }, async () => {
  await until(() => io.engine.clientsCount === 0, 'all slots to be free')
  native.startGenerations(2 ** 31 - 2)
  for (let round = 0; round < 6; round++) {
    const socket = await client()
    assert.equal(await socket.emitWithAck('echo', round), round)
    socket.disconnect()
    await until(() => io.engine.clientsCount === 0, 'the slot to be free')
  }
})
