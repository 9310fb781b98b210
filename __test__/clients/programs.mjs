// Servers that the client tests run in a process of their own.

import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { Engine } from 'upwire'
import { listen } from '../support/servers.mjs'

/** Checks numbered messages and stops its event loop on demand. */
export async function blocking(options, { tell, hear }) {
  const server = createServer((_req, res) => res.end('page'))
  const engine = new Engine(options)
  engine.attach(server)
  const faults = []
  const counts = {}
  engine.on('connection', (socket) => {
    let next = 0
    socket.on('data', (data) => {
      const n = Number.parseInt(data, 10)
      if (n !== next) faults.push(`${socket.id}: ${n} instead of ${next}`)
      next = n + 1
      counts[socket.id] = next
      if (n % 50 === 0) socket.send(`seen ${n}`)
    })
    socket.on('close', (reason, description) =>
      faults.push(`${socket.id} closed: ${reason} ${description?.message}`),
    )
  })
  const port = await listen(server)
  hear('block', (ms) => {
    process.send({ topic: 'blocking' }, () => {
      const cell = new Int32Array(new SharedArrayBuffer(4))
      const start = performance.now()
      Atomics.wait(cell, 0, 0, ms)
      tell('unblocked', performance.now() - start)
    })
  })
  hear('report', () => tell('report', { faults, counts, clients: engine.clientsCount }))
  tell('port', port)
}

/** Reports its descriptors and memory. */
export async function counting(options, { tell, hear }) {
  const server = createServer((_req, res) => res.end('page'))
  const engine = new Engine(options)
  engine.attach(server)
  engine.on('connection', (socket) => {
    socket.on('data', (data) => socket.send(data))
  })
  const port = await listen(server)
  const connections = () =>
    new Promise((resolve) => server.getConnections((_error, count) => resolve(count)))
  hear('measure', async () => {
    for (let round = 0; round < 4; round++) {
      globalThis.gc()
      await new Promise((resolve) => setImmediate(resolve))
    }
    tell('measured', {
      clients: engine.clientsCount,
      connections: await connections(),
      descriptors: readdirSync('/proc/self/fd').length,
      rss: process.memoryUsage().rss,
      heap: process.memoryUsage().heapUsed,
    })
  })
  tell('port', port)
}
