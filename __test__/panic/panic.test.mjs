// Runs on an addon built with the cargo feature `test-panic`; `npm test` builds it apart.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { createRequire } from 'node:module'
import { after, before, test } from 'node:test'
import { io as connect } from 'socket.io-client'

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
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${server.address().port}`
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

test('a panic in an export is an error', { skip }, () => {
  assert.throws(() => native.testPanic(), { code: 'ERR_UPWIRE_INTERNAL' })
})

test('a panic in a session ends that session alone', { skip }, async () => {
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
