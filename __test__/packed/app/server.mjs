import { createServer } from 'node:http'
import next from 'next'
import { attach } from 'upwire'

const app = next({ dev: false })
await app.prepare()

const server = createServer(app.getRequestHandler())
attach(server).on('connection', (socket) => {
  socket.on('echo', (value, reply) => reply(value))
})
server.listen(0, () => console.log(`port ${server.address().port}`))
