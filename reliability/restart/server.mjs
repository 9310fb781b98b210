// One of the servers behind the proxy: it logs each message before it acknowledges it, sends
// numbered messages if asked to, and ends on SIGTERM as an app does.

import { appendFileSync } from 'node:fs'
import http from 'node:http'
import { createRequire } from 'node:module'

import { answer } from '../../bench/harness/answers.mjs'

const { attach } = createRequire(import.meta.url)('../../index.js')

const { port, log, recovery, interval } = JSON.parse(process.argv[2])
const server = http.createServer((_request, response) => response.end('up'))
const io = attach(server, recovery ? { connectionStateRecovery: {} } : {})
/** How many messages were sent to all; a client's own are counted on its socket. */
let news = 0
let recovered = 0

io.on('connection', (socket) => {
  if (socket.recovered) recovered++
  else socket.data.sent = 0
  socket.on('save', (id, reply) => {
    appendFileSync(log, `${id}\n`)
    reply(id)
  })
  socket.emit('hello', news)
})

// The test compares these numbers, so no timer may send twice in one turn.
const sending = interval && setInterval(send, interval)

function send() {
  io.emit('news', news++)
  for (const socket of io.sockets.sockets.values()) socket.emit('own', socket.data.sent++)
}

answer({
  /** Stops sending; returns how many messages each client was sent. */
  stop() {
    clearInterval(sending)
    const own = [...io.sockets.sockets.values()].map((socket) => [socket.id, socket.data.sent])
    return { news, own, recovered, sessions: io.engine.clientsCount }
  },
})

process.once('SIGTERM', async () => {
  clearInterval(sending)
  await io.close()
  // Only the runner's channel still keeps the process alive.
  process.removeAllListeners('disconnect')
  process.disconnect()
})

server.listen(port, '127.0.0.1', () => process.send({ port: server.address().port }))
