// A cluster of three workers with upwire, behind @socket.io/sticky.

import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createAdapter, setupPrimary } from '@socket.io/cluster-adapter'
import { setupMaster, setupWorker } from '@socket.io/sticky'
import { attach } from '../../index.js'

if (cluster.isPrimary) {
  cluster.setupPrimary({ serialization: 'advanced' })
  const server = createServer()
  setupMaster(server, { loadBalancingMethod: 'round-robin' })
  setupPrimary()
  const workers = Array.from({ length: 3 }, () => cluster.fork())
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  server.listen(0, '127.0.0.1', () => console.log(server.address().port))
  // The parent closes the pipe when it has finished.
  process.stdin.on('end', () => process.exit()).resume()
} else {
  const io = attach(createServer(), { adapter: createAdapter() })
  setupWorker(io)
  io.on('connection', (socket) => {
    socket.on('pid', (ack) => ack(process.pid))
    socket.on('echo', (value, ack) => ack(value))
    socket.on('all', (value) => io.emit('all', value))
  })
  process.send('ready')
}
