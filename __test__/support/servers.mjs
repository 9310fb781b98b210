// HTTP servers with upwire on them, closed when their test ends.

import { createServer } from 'node:http'
import { attach, Engine } from 'upwire'
import { within } from './events.mjs'
import { listen } from './ports.mjs'

export { listen }

/** A page server, which stands for the app around upwire. */
export function pages() {
  return createServer((req, res) => res.end(`page ${req.url}`))
}

/** Closes a server and everything connected to it. */
export async function shut(server) {
  if (!server.listening) return
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections?.()
  for (const socket of sockets.get(server) ?? []) socket.destroy()
  await within(closed, 'the server to close')
}

/** The sockets of a server that `shut` destroys, upgraded ones included. */
const sockets = new WeakMap()

/** Makes `shut` destroy upgraded connections as well, which Node does not close. */
export function track(server) {
  const open = new Set()
  sockets.set(server, open)
  server.on('connection', (socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
  })
}

/**
 * Socket.IO on a server of its own.
 * @param {import('node:test').TestContext} t
 * @param {object} [opts] options of `attach`
 */
export async function serve(t, opts = {}, server = pages()) {
  const io = attach(server, opts)
  const port = await listen(server)
  t.after(async () => {
    io.disconnectSockets(true)
    const closed = io.close()
    server.closeAllConnections?.()
    await within(closed, 'io.close()')
  })
  return { server, io, engine: io.engine, port, url: `http://127.0.0.1:${port}` }
}

/**
 * Engine.IO alone on a server of its own.
 * @param {import('node:test').TestContext} t
 * @param {object} [opts] options of the engine
 */
export async function serveEngine(t, opts = {}, server = pages()) {
  const engine = new Engine(opts)
  engine.attach(server, opts)
  const port = await listen(server)
  t.after(async () => {
    engine.close()
    await shut(server)
  })
  return { server, engine, port, url: `http://127.0.0.1:${port}` }
}
