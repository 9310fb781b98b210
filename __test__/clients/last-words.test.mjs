// A peer that sends messages and ends at once: its end must be noticed although it comes right
// behind them.

import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { test } from 'node:test'
import { Engine } from 'upwire'
import { text } from '../support/frames.mjs'
import { listen } from '../support/ports.mjs'
import { upgrade } from '../support/requests.mjs'

test('messages before an end are delivered, and the end is noticed', {
  timeout: 20_000,
}, async () => {
  const server = http.createServer()
  const port = await listen(server)
  const engine = new Engine({ pingInterval: 60_000 })
  engine.attach(server)
  const seen = []
  engine.on('connection', (socket) => {
    let messages = 0
    socket.on('data', () => messages++)
    socket.on('close', (reason) => seen.push(`${messages} ${reason}`))
  })
  const clients = Array.from({ length: 50 }, async () => {
    const client = net.connect(port, '127.0.0.1')
    client.write(upgrade())
    let received = ''
    for await (const chunk of client) {
      received += chunk.latin1Slice()
      if (received.includes('maxPayload')) client.end(Buffer.concat([text('4x'), text('4x')]))
    }
  })
  await Promise.all(clients)
  while (engine.clientsCount > 0) await new Promise(setImmediate)
  assert.deepEqual(seen, Array(50).fill('2 transport close'))
  engine.close()
  server.close()
})
