'use strict'

// Without a custom server nobody hands us the HTTP server. Node's public diagnostics channels tell of
// each connection that is accepted, before its first byte is parsed, and of each request: both name
// the server.

const channels = require('node:diagnostics_channel')
const http = require('node:http')
const https = require('node:https')
const { connect } = require('node:net')
const { isAtLeast, nextVersion } = require('../environment/version')

/** A connection was accepted; and for those that are older than our interest, a request has come. */
const CHANNELS = ['net.server.socket', 'http.server.request.start']

/**
 * Looks for an HTTP server of this process among those that take connections.
 * @param {(server: http.Server) => boolean} match
 * @param {(server: http.Server) => void} onFound is called once
 * @param {() => void} [onOther] is called for each server that does not match
 * @returns {() => void} ends the search
 */
function searchServer(match, onFound, onOther = () => {}) {
  const stop = () => {
    for (const name of CHANNELS) channels.unsubscribe(name, onMessage)
  }
  const onMessage = (message) => {
    const server = message.server ?? message.socket.server
    if (!isHttp(server)) return
    if (!match(server)) return onOther()
    // Publishing costs on every connection; so the search ends with the first match.
    stop()
    onFound(server)
  }
  for (const name of CHANNELS) channels.subscribe(name, onMessage)
  return stop
}

/**
 * Has the server of Next.js show itself at once, by a connection to the port that it tells: what was
 * accepted before is seen from then on, too.
 */
function knock(hosts = ['localhost', process.env.HOSTNAME]) {
  const port = Number(process.env.PORT)
  const [host, ...others] = hosts
  const isPort = Number.isInteger(port) && port > 0 && port < 65_536
  if (!host || !isPort || !namesPort()) return
  const socket = connect({ host, port })
  socket.unref()
  socket.on('connect', () => socket.destroy())
  socket.on('error', () => knock(others))
}

function isHttp(server) {
  return server instanceof http.Server || server instanceof https.Server
}

/**
 * Whether a server is the one that Next.js runs: Next.js sets PORT to the port it listens on, from
 * 13.4.19 on. Before that, and in custom servers, PORT may say nothing.
 */
function isNextServer(server) {
  if (server.listenerCount('request') === 0) return false
  if (process.env.PORT === undefined) return true
  return hasNamedPort(server) || !namesPort()
}

/** The same, of a process that may have nothing to do with Next.js. */
function isCertainlyNextServer(server) {
  if (server.listenerCount('request') === 0) return false
  return hasNamedPort(server) || !namesPort()
}

function hasNamedPort(server) {
  return String(server.address()?.port) === process.env.PORT
}

/** Whether the project's Next.js tells its port. */
function namesPort() {
  const version = nextVersion()
  return version === undefined || isAtLeast(version, [13, 4, 19])
}

module.exports = { isCertainlyNextServer, isHttp, isNextServer, knock, searchServer }
