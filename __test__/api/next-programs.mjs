// Processes like those of Next.js: a server that listens, and code that hears of it later.

import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { attach } from 'upwire'
import { listen } from '../clients/support/servers.mjs'

const require = createRequire(import.meta.url)
const { getIO, registerUpwire, withUpwire } = require('upwire/next')

function answer(io) {
  io.on('connection', (socket) => {
    socket.on('port', (done) => done(io.httpServer.address().port))
  })
}

function page() {
  return createServer((_req, res) => res.end('page'))
}

/** Listens as Next.js does: PORT tells where, from then on. */
async function nextListens(server) {
  const port = await listen(server)
  process.env.PORT = String(port)
  return port
}

/** Registers once the server listens; a server for something else is there, too. */
export async function registered({ options = {} }, { tell, hear }) {
  const other = page()
  const otherPort = await listen(other)
  const server = page()
  // Next.js listens for upgrades from the start, and leaves open what it does not know.
  server.on('upgrade', () => tell('upgrade'))
  server.on('connection', () => tell('connection'))
  const port = await nextListens(server)
  hear('register', () => {
    registerUpwire(options, answer)
    tell('registered')
  })
  hear('emit', (event) => {
    try {
      getIO().emit(event)
      tell('emitted')
    } catch ({ code, message }) {
      tell('emitted', { code, message })
    }
  })
  hear('close', () => server.close(() => process.exit()))
  process.on('warning', ({ code }) => tell('warning', code))
  tell('ports', { port, otherPort })
}

/** Tells the config of the Next.js of the folder it is run in. */
export function extended(given, { tell }) {
  tell('config', withUpwire(given)('phase-production-build', {}))
}

/** Holds a path from the beginning, as `next.config` has it done. */
export async function early({ path, registeredPath, options }, { tell, hear }) {
  withUpwire({}, { path })('phase-production-server', {})
  const server = page()
  const port = await nextListens(server)
  server.on('request', () => {})
  hear('register', (path = registeredPath) => registerUpwire({ ...options, path }, answer))
  hear('close', () => server.close(() => process.exit()))
  process.on('warning', ({ code }) => tell('warning', code))
  tell('port', port)
}

/** With `--require upwire/preload`: nothing else holds the path. */
export async function preloaded(_none, { tell, hear }) {
  const server = page()
  const port = await nextListens(server)
  hear('attach', () => answer(attach(server)))
  tell('port', port)
}

/** As a process in which Next.js 13.4 renders. */
export async function rendering({ options, grants }, { tell }) {
  const server = page()
  const { engine } = attach(server, options)
  if (grants) {
    engine.use((_req, res, next) => {
      res.setHeader('Access-Control-Allow-Origin', '*')
      next()
    })
  }
  tell('port', await listen(server))
}

/** Tells what getIO() and registerUpwire() do in an environment. */
export async function environment(_none, { tell }) {
  process.on('warning', ({ code }) => tell('warning', code))
  registerUpwire({}, () => tell('set up'))
  try {
    tell('io', typeof getIO())
  } catch ({ code, message }) {
    tell('io', { code, message })
  }
}

/** A custom server whose app also registers: before attach(), and after it. */
export async function custom(_none, { tell }) {
  const server = page()
  const ios = []
  registerUpwire({}, (io) => ios.push(io))
  ios.push(attach(server))
  registerUpwire({}, answer)
  ios.push(getIO())
  tell('same', ios.every((io) => io === ios[0]) && ios.length === 3)
  tell('port', await listen(server))
}
