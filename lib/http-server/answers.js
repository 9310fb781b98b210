'use strict'

// Plain HTTP answers to refused requests and upgrades.

const { STATUS_CODES } = require('node:http')
const { http: log } = require('../debug')

/** Milliseconds that a refused client may take to read its answer. */
const LINGER = 1000

/** Answers a polling request with a refusal. */
function refuseRequest(res, { code, status, message, headers }) {
  if (res.headersSent) {
    // A middleware began to answer before it failed.
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

/** Answers a polling request with 500, because a listener of the app has failed. */
function failRequest(res) {
  log('answered a request with 500, because a listener of the app failed')
  const headers = { 'Content-Length': 0, Connection: 'close' }
  res.writeHead(500, STATUS_CODES[500], headers)
  res.end()
}

/** Refused upgrades that wait for earlier responses to be written, by server. @type {WeakMap<object, Set<object>>} */
const waiting = new WeakMap()

/** Remembers a refused upgrade until its connection closes: Node has forgotten the connection. */
function remember(socket) {
  const { server } = socket
  if (!server) return
  if (!waiting.has(server)) waiting.set(server, new Set())
  waiting.get(server).add(socket)
  socket.once('close', () => waiting.get(server).delete(socket))
}

/** Destroys the refused upgrades of a server: `closeAllConnections()` does that to Node's connections. */
function destroyRefused(server) {
  for (const socket of waiting.get(server) ?? []) socket.destroy()
}

/** Answers an upgrade with plain HTTP, after earlier responses, and ends the connection. */
function refuseUpgrade(socket, { status, message, headers = {} }, extraHeaders = '') {
  if (socket.destroyed) return
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const text =
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n` +
    `Content-Type: text/html\r\nContent-Length: ${Buffer.byteLength(message)}\r\n` +
    `${extraHeaders}${lines.join('')}\r\n${message}`
  // The socket is read because otherwise Node does not notice the client's end, after which the connection
  // ends. Unread input would also turn the close into a reset, which may overtake the answer.
  socket.once('end', () => socket.end())
  socket.resume()
  if (socket._httpMessage) remember(socket)
  afterEarlier(socket, () => {
    // An earlier response, or the client's end, may have ended the connection.
    if (!socket.writable) return
    const giveUp = setTimeout(() => socket.destroy(), LINGER)
    giveUp.unref()
    socket.once('close', () => clearTimeout(giveUp))
    socket.end(text)
  })
}

/** Calls `next` when all earlier responses of the connection have been written. */
function afterEarlier(socket, next) {
  if (socket.destroyed) return
  const earlier = socket._httpMessage
  if (earlier) earlier.once('close', () => afterEarlier(socket, next))
  else next()
}

module.exports = { afterEarlier, destroyRefused, failRequest, refuseRequest, refuseUpgrade }
