'use strict'

// The plain HTTP answers of refused requests and upgrades.

const { STATUS_CODES } = require('node:http')

/** How long a refused peer may take to read its answer. */
const LINGER = 1000

/** Answers a polling request. */
function refuseRequest(res, { code, status, message, headers }) {
  if (res.headersSent) {
    // A middleware may have begun an answer before it failed.
    if (!res.writableEnded) res.end()
    return
  }
  const isEmpty = status === 405
  const body = isEmpty ? '' : JSON.stringify({ code, message })
  res.writeHead(status, {
    ...(isEmpty ? {} : { 'Content-Type': 'application/json' }),
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
    ...headers,
  })
  res.end(body)
}

/** Answers a polling request when the app's own listeners fail. */
function failRequest(res) {
  const headers = { 'Content-Length': 0, Connection: 'close' }
  res.writeHead(500, STATUS_CODES[500], headers)
  res.end()
}

/** Refused upgrades that wait for earlier responses, by server. @type {WeakMap<object, Set<object>>} */
const delayed = new WeakMap()

/** Remembers a refused upgrade while its connection is open: Node has forgotten it. */
function delay(socket) {
  const { server } = socket
  if (!server) return
  if (!delayed.has(server)) delayed.set(server, new Set())
  delayed.get(server).add(socket)
  socket.once('close', () => delayed.get(server).delete(socket))
}

/** Destroys the refused upgrades of a server, as it does with connections of its own. */
function destroyRefused(server) {
  for (const socket of delayed.get(server) ?? []) socket.destroy()
}

/** Answers an upgrade with plain HTTP, behind earlier responses, and ends the connection. */
function refuseUpgrade(socket, { status, message, headers = {} }, extraHeaders = '') {
  if (socket.destroyed) return
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const text =
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n` +
    `Content-Type: text/html\r\nContent-Length: ${Buffer.byteLength(message)}\r\n` +
    `${extraHeaders}${lines.join('')}\r\n${message}`
  // Only a socket that is read notices its peer's end; Node ends a connection then, too. And unread
  // input would turn our close into a reset, which may overtake the answer.
  socket.once('end', () => socket.end())
  socket.resume()
  if (socket._httpMessage) delay(socket)
  afterEarlier(socket, () => {
    // An earlier response, or the peer's end, may have ended the connection.
    if (!socket.writable) return
    const giveUp = setTimeout(() => socket.destroy(), LINGER)
    giveUp.unref()
    socket.once('close', () => clearTimeout(giveUp))
    socket.end(text)
  })
}

/** Calls `next` when no earlier response on this connection is left to be written. */
function afterEarlier(socket, next) {
  if (socket.destroyed) return
  const earlier = socket._httpMessage
  if (earlier) earlier.once('close', () => afterEarlier(socket, next))
  else next()
}

module.exports = { afterEarlier, destroyRefused, failRequest, refuseRequest, refuseUpgrade }
