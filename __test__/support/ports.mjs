// Ports of this machine.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** Lets a server listen, on a free port by default; returns the port. */
export async function listen(server, port = 0, host = '127.0.0.1') {
  await once(server.listen(port, host), 'listening')
  return server.address().port
}

/** A port that was free a moment ago, for programs that must be told their port. */
export async function freePort() {
  const server = createServer()
  const port = await listen(server, 0, null)
  server.close()
  await once(server, 'close')
  return port
}

/** Whether a server accepts connections on a port. */
export async function isOpen(port, host = 'localhost') {
  const socket = connect({ port, host })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
