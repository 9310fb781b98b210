// The server of the soak: socket.io on upwire, with one handler that echoes.

import http from 'node:http'
import { createRequire } from 'node:module'
import { monitorEventLoopDelay } from 'node:perf_hooks'

import { answer } from '../../bench/harness/answers.mjs'
import { holdings } from '../harness/holdings.mjs'

const { attach } = createRequire(import.meta.url)('../../index.js')

const options = JSON.parse(process.argv[2])
const server = http.createServer((_request, response) => response.end())
const io = attach(server, options)
const seen = { connections: 0, disconnects: 0, reasons: {} }

io.on('connection', (socket) => {
  seen.connections++
  socket.on('echo', (message) => socket.emit('echo', message))
  socket.on('disconnect', (reason) => {
    seen.disconnects++
    seen.reasons[reason] = (seen.reasons[reason] ?? 0) + 1
  })
})

const delay = monitorEventLoopDelay({ resolution: 10 })
delay.enable()

answer({
  figures() {
    const loop = delay.percentile(99) / 1e6
    delay.reset()
    return { ...holdings(), ...seen, loop, stats: io.engine.stats() }
  },
})

server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
