// A peer that sends messages and ends at once: its end must be noticed although it comes right
// behind them.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { createRequire } from 'node:module'
import { test } from 'node:test'

const { Engine } = createRequire(import.meta.url)('../../index.js')

const REQUEST =
  'GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n' +
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
/** A masked text frame `4x`, with a mask of zeros. */
const MESSAGE = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x78])

test('messages before an end are delivered, and the end is noticed', {
  timeout: 20_000,
}, async () => {
  const server = http.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const engine = new Engine({ pingInterval: 60_000 })
  engine.attach(server)
  const seen = []
  engine.on('connection', (socket) => {
    let messages = 0
    socket.on('data', () => messages++)
    socket.on('close', (reason) => seen.push(`${messages} ${reason}`))
  })
  const clients = Array.from({ length: 50 }, async () => {
    const client = net.connect(server.address().port, '127.0.0.1')
    client.write(REQUEST)
    let text = ''
    for await (const chunk of client) {
      text += chunk.latin1Slice()
      if (text.includes('maxPayload')) client.end(Buffer.concat([MESSAGE, MESSAGE]))
    }
  })
  await Promise.all(clients)
  while (engine.clientsCount > 0) await new Promise(setImmediate)
  assert.deepEqual(seen, Array(50).fill('2 transport close'))
  engine.close()
  server.close()
})
