// Processes like those of Next.js: a server listens, and the app's code finds it later.

import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { attach } from 'upwire'
import { listen } from '../support/servers.mjs'

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

/** Listens as Next.js does, which sets PORT to the port that it listens on. */
async function nextListens(server) {
  const port = await listen(server)
  process.env.PORT = String(port)
  return port
}

/** Registers after the server has begun to listen. A second server has another purpose. */
export async function registered({ options = {} }, { tell, hear }) {
  const other = page()
  const otherPort = await listen(other)
  const server = page()
  // Next.js listens for upgrades from the start, and leaves those of unknown paths open.
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

/** Reports the config for the version of Next.js in the current folder. */
export function extended(given, { tell }) {
  tell('config', withUpwire(() => given)('phase-production-build', {}))
}

/** Claims a path before the server listens, as `next.config` does. */
export async function early({ path, registeredPath, options }, { tell, hear }) {
  withUpwire({}, { path })
  const server = page()
  const port = await nextListens(server)
  server.on('request', () => {})
  hear('register', (path = registeredPath) => registerUpwire({ ...options, path }, answer))
  hear('close', () => server.close(() => process.exit()))
  process.on('warning', ({ code }) => tell('warning', code))
  tell('port', port)
}

/** For `--require upwire/preload`: no other code claims the path. */
export async function preloaded(_none, { tell, hear }) {
  const server = page()
  const port = await nextListens(server)
  hear('attach', () => answer(attach(server)))
  tell('port', port)
}

/** A process like the render workers of Next.js 13.4. */
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

/** Reports the effects of registerUpwire() and getIO() with certain environment variables. */
export async function environment(_none, { tell }) {
  process.on('warning', ({ code }) => tell('warning', code))
  registerUpwire({}, () => tell('set up'))
  try {
    tell('io', typeof getIO())
  } catch ({ code, message }) {
    tell('io', { code, message })
  }
}

/** A custom server whose app also calls registerUpwire(): before attach(), and after it. */
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
