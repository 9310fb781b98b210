// One of the servers behind the proxy: writes down each message before it acknowledges it, sends
// numbered ones where it is asked to, and ends on SIGTERM as an app does.

import { appendFileSync } from 'node:fs'
import http from 'node:http'
import { createRequire } from 'node:module'

import { answer } from '../harness/answers.mjs'

const { attach } = createRequire(import.meta.url)('../../index.js')

const { port, log, recovery, interval } = JSON.parse(process.argv[2])
const server = http.createServer((_request, response) => response.end('up'))
const io = attach(server, recovery ? { connectionStateRecovery: {} } : {})
/** How many were sent to everybody; a client's own are counted with its socket. */
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

// The numbers of what was sent are part of the test: no timer may send twice in a turn.
const sending = interval && setInterval(send, interval)

function send() {
  io.emit('news', news++)
  for (const socket of io.sockets.sockets.values()) socket.emit('own', socket.data.sent++)
}

answer({
  /** Sends no more. Tells how much every client has been sent. */
  stop() {
    clearInterval(sending)
    const own = [...io.sockets.sockets.values()].map((socket) => [socket.id, socket.data.sent])
    return { news, own, recovered, sessions: io.engine.clientsCount }
  },
})

process.once('SIGTERM', async () => {
  clearInterval(sending)
  await io.close()
  // The runner's channel is the last thing that keeps the process.
  process.removeAllListeners('disconnect')
  process.disconnect()
})

server.listen(port, '127.0.0.1', () => process.send({ port: server.address().port }))
