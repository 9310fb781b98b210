import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import next from 'next'
import { type AttachOptions, attach } from 'upwire'

interface ToServer {
  echo: (value: unknown, reply: (value: unknown) => void) => void
}

const options: AttachOptions = { path: '/socket.io' }
const app = next({ dev: false })

async function main(): Promise<void> {
  await app.prepare()
  const server = createServer(app.getRequestHandler())
  attach<ToServer>(server, options).on('connection', (socket) => {
    socket.on('echo', (value, reply) => reply(value))
  })
  server.listen(0, () => console.log(`port ${(server.address() as AddressInfo).port}`))
}

void main()
