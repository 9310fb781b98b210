// Tests the bench itself: the load client must fail on a server that loses, doubles or swaps
// messages, and must pass on one that does not. Run it with `node --test bench/`.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import { Server } from 'socket.io'

import { build, ClientProcess } from './harness/client-process.mjs'

/** Each of these sends message number `n` wrongly, once. */
const faults = {
  none: (send, message) => send(message),
  lost: (send, message, n) => n !== 50 && send(message),
  doubled(send, message, n) {
    send(message)
    if (n === 50) send(message)
  },
  swapped(send, message, n, state) {
    if (n === 50) state.held = message
    else send(message)
    if (n === 51) send(state.held)
  },
}

const loads = {
  echo: { connections: 10, size: 64, outstanding: 8 },
  polling: { connections: 10, size: 64 },
  binary: { connections: 2, size: 300_000 },
  soak: { connections: 10, size: 64, rate: 2_000, replaced: 10 },
}

describe('the load client', () => {
  let server, io, fault

  before(async () => {
    await build()
    server = http.createServer()
    io = new Server(server)
    io.on('connection', (socket) => {
      const state = {}
      let n = 0
      socket.on('echo', (message) => {
        fault((sent) => socket.emit('echo', sent), message, n++, state)
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })

  after(() => io.close())

  const start = (scenario, options) =>
    ClientProcess.start(scenario, { port: server.address().port, ...options })

  for (const [load, options] of Object.entries(loads)) {
    it(`passes ${load} without a fault`, async () => {
      fault = faults.none
      const client = await start(load, options)
      client.go()
      await sleep(300)
      const { count } = await client.stop()
      assert.ok(count > 0)
    })

    for (const kind of ['lost', 'doubled', 'swapped']) {
      // A single outstanding message cannot be swapped with another, and losing it stops the load.
      if (kind !== 'doubled' && load !== 'echo' && load !== 'soak') continue
      it(`fails ${load} with a message ${kind}`, async () => {
        fault = faults[kind]
        const client = await start(load, options)
        client.go()
        await assert.rejects(async () => {
          await sleep(1000)
          await client.stop()
        }, /verification: .*lost, doubled, reordered/)
      })
    }
  }

  for (const kind of Object.keys(faults)) {
    it(`${kind === 'none' ? 'passes' : 'fails'} fan-out with a broadcast ${kind}`, async () => {
      const client = await start('fanout', { connections: 20, size: 64, outstanding: 0 })
      client.go()
      const state = {}
      for (let n = 0; n < 60; n++) {
        const message = n.toString(16).padStart(12, '0') + 'x'.repeat(52)
        faults[kind]((sent) => io.emit('news', sent), message, n, state)
      }
      const arrival = client.until(60 * 20, 5)
      if (kind === 'none') await client.stop(await arrival)
      else await assert.rejects(arrival, /verification: a broadcast lost, doubled, reordered/)
    })
  }
})
