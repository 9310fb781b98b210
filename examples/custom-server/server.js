// @ts-check

/**
 * @import { AttachedServer } from 'upwire'
 * @import { ClientToServer, ServerToClient } from './shared/events'
 */

import { createServer } from 'node:http'
import { attach } from 'upwire'
import { cleanText } from './shared/text.js'

const dev = process.argv.includes('--dev')
// React and Next.js read NODE_ENV while they are loaded, and choose their builds by it.
Object.assign(process.env, { NODE_ENV: dev ? 'development' : 'production' })
const { default: next } = await import('next')

const app = next({ dev })
await app.prepare()
const handle = app.getRequestHandler()
const server = createServer((req, res) => handle(req, res))

attach(server, { path: '/socket.io' }, setUp)

const port = Number(process.env.PORT ?? 3000)
server.listen(port, () => console.log(`> http://localhost:${port}`))

// upwire closes the connections of Socket.IO before the server closes, so the process can exit.
const shutdown = () => {
  server.close(() => app.close())
  // The dev server watches files and keeps its HMR sockets open, so it would never exit by itself.
  if (dev) process.exit()
}
process.once('SIGTERM', shutdown)
process.once('SIGINT', shutdown)

/** @param {AttachedServer<ClientToServer, ServerToClient>} io */
function setUp(io) {
  const tellPeople = () => io.emit('people', io.of('/').sockets.size)
  io.on('connection', (socket) => {
    tellPeople()
    socket.on('disconnect', tellPeople)
    socket.on('say', (value) => {
      const text = cleanText(value)
      if (text) io.emit('message', { author: socket.id, text })
    })
  })
}
