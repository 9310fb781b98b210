// The official clients, closed when their test ends.

import assert from 'node:assert/strict'
import { Socket as EngineClient } from 'engine.io-client'
import { io as connectSocket } from 'socket.io-client'
import { event, until, within } from './events.mjs'
import './leaks.mjs'

/** Every order of transports that a client may choose, with its final transport. */
export const TRANSPORTS = [
  { transports: ['polling'], settles: 'polling' },
  { transports: ['websocket'], settles: 'websocket' },
  { transports: ['polling', 'websocket'], settles: 'websocket' },
  { transports: ['websocket', 'polling'], settles: 'websocket' },
]

/** A Socket.IO client that has not connected yet. */
export function client(t, url, opts = {}) {
  const socket = connectSocket(url, { forceNew: true, reconnection: false, ...opts })
  t.after(() => socket.io._close())
  return socket
}

/** A connected Socket.IO client. */
export async function connect(t, url, opts = {}) {
  const socket = client(t, url, opts)
  await connected(socket)
  return socket
}

/** Waits until a client is connected; a refusal fails at once. */
export async function connected(socket) {
  if (socket.connected) return
  const connection = new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('connect_error', reject)
  })
  await within(connection, 'a client to connect')
}

/** Both ends of one connection. */
export async function pair(t, { io, url }, opts = {}, namespace = '/') {
  const arrival = event(io.of(namespace), 'connection')
  const near = await connect(t, namespace === '/' ? url : url + namespace, opts)
  const [far] = await arrival
  return { near, far }
}

/** Waits until a client has reached a transport. */
export function settled(socket, name) {
  const engine = socket.io?.engine ?? socket
  return until(() => engine.transport?.name === name && !engine.upgrading, `transport ${name}`)
}

/** Connects with each order of transports and has a message echoed. */
export async function works(t, io, url, opts = {}) {
  for (const { transports, settles } of TRANSPORTS) {
    const { near, far } = await pair(t, { io, url }, { transports, ...opts })
    await settled(near, settles)
    far.on('echo', (value, ack) => ack(value))
    assert.equal(await near.timeout(5000).emitWithAck('echo', 'x'), 'x')
    near.close()
  }
}

/** An Engine.IO client that has not opened yet. */
export function engineClient(t, url, opts = {}) {
  const socket = new EngineClient(url, opts)
  socket.on('error', () => {})
  t.after(() => socket.close())
  return socket
}

/** Both ends of one Engine.IO connection, open and, with `settles`, on their final transport. */
export async function enginePair(t, { engine, url }, { settles, ...opts } = {}) {
  const arrival = event(engine, 'connection')
  const near = engineClient(t, url, opts)
  const opening = event(near, 'open')
  const [far] = await arrival
  await opening
  if (settles !== undefined) {
    await settled(near, settles)
    await until(() => far.transport.name === settles, `the server's transport ${settles}`)
  }
  return { near, far }
}
