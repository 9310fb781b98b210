// HTTP servers with upwire on them, closed when their test ends.

import { createServer } from 'node:http'
import { attach, Engine } from 'upwire'
import { within } from './events.mjs'

/** Listens on a free port. */
export async function listen(server, port = 0, host = '127.0.0.1') {
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return server.address().port
}

/** A page server: what the app around upwire is in these tests. */
export function pages() {
  return createServer((req, res) => res.end(`page ${req.url}`))
}

/** Closes a server and whatever is connected to it. */
export async function shut(server) {
  if (!server.listening) return
  const closed = new Promise((resolve) => server.close(resolve))
  server.closeAllConnections?.()
  for (const socket of sockets.get(server) ?? []) socket.destroy()
  await within(closed, 'the server to close')
}

/** Node's sockets of a server, upgraded ones included, that `shut` is to end. */
const sockets = new WeakMap()

/** Has `shut` end upgraded connections as well, which are nobody's else. */
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
