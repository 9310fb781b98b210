'use strict'

const dev = process.argv.includes('--dev')
// React and Next.js read NODE_ENV while they are loaded, and choose their builds by it.
Object.assign(process.env, { NODE_ENV: dev ? 'development' : 'production' })

const { createServer } = require('node:http')
const next = require('next')
const { attach } = require('upwire')
const { registerChat } = require('./server/chat')

async function main() {
  // @ts-expect-error Next.js's types describe its ES module, which exports the function as default
  const app = next({ dev, dir: __dirname })
  await app.prepare()

  const handle = app.getRequestHandler()
  const server = createServer((req, res) => handle(req, res))

  // The largest image has 2 MiB. Over long-polling it is sent as base64, which adds a third.
  const io = attach(server, { path: '/socket.io', maxHttpBufferSize: 3 * 1024 * 1024 })
  registerChat(io)

  server.listen(Number(process.env.PORT ?? 3000), () => {
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
    console.log(`> http://localhost:${port}`)
  })

  const shutdown = () => {
    server.close(() => app.close())
    // The dev server watches files and keeps its HMR sockets open, so it would never exit by itself.
    if (dev) process.exit()
  }
  process.once('SIGTERM', shutdown)
  process.once('SIGINT', shutdown)
}

main()
