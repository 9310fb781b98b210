'use strict'

// Without a custom server, no code passes the HTTP server to upwire. Node's public diagnostics channels
// publish each accepted connection, before its first byte is parsed, and each request; both name the
// server.

const channels = require('node:diagnostics_channel')
const http = require('node:http')
const https = require('node:https')
const { connect } = require('node:net')
const { next: log } = require('../debug')
const { isAtLeast, nextVersion } = require('../environment/version')

/** The first publishes new connections, the second also requests on connections accepted earlier. */
const CHANNELS = ['net.server.socket', 'http.server.request.start']

/**
 * Searches for an HTTP server of this process among those that receive connections or requests.
 * @param {(server: http.Server) => boolean} match
 * @param {(server: http.Server) => void} onFound called once, with the first server that matches
 * @param {() => void} [onOther] called for each connection or request of another HTTP server
 * @returns {() => void} stops the search
 */
function searchServer(match, onFound, onOther = () => {}) {
  const stop = () => {
    for (const name of CHANNELS) channels.unsubscribe(name, onMessage)
  }
  const onMessage = (message, channel) => {
    const server = message.server ?? message.socket.server
    if (!isHttp(server)) return
    const isMatch = match(server)
    if (log.enabled) logServer(isMatch ? 'found the server' : 'skipped a server', server, channel)
    if (!isMatch) return onOther()
    // A subscription costs time on every connection, so the search ends with the first match.
    stop()
    onFound(server)
  }
  for (const name of CHANNELS) channels.subscribe(name, onMessage)
  return stop
}

function logServer(what, server, channel) {
  log('%s on port %s through %s (PORT=%s)', what, server.address()?.port, channel, process.env.PORT)
}

/**
 * Connects to the port that Next.js has announced, so that the search finds the server at once: its
 * claims then also cover connections that it accepted before the search began.
 * @param {(string | undefined)[]} [hosts] tried in turn until one accepts
 */
function connectToOwnPort(hosts = ['localhost', process.env.HOSTNAME]) {
  const port = Number(process.env.PORT)
  const [host, ...others] = hosts
  const isPort = Number.isInteger(port) && port > 0 && port < 65_536
  if (!host || !isPort || !announcesPort()) return
  log('connecting to %s:%d so that the server shows up', host, port)
  const socket = connect({ host, port })
  socket.unref()
  socket.on('connect', () => socket.destroy())
  socket.on('error', () => connectToOwnPort(others))
}

function isHttp(server) {
  return server instanceof http.Server || server instanceof https.Server
}

/**
 * Whether a server is the one that Next.js runs. From 13.4.19 on, Next.js sets PORT to the port that it
 * listens on. With an older version, or without PORT, any server with a listener for requests matches.
 */
function isNextServer(server) {
  if (server.listenerCount('request') === 0) return false
  if (process.env.PORT === undefined) return true
  return hasAnnouncedPort(server) || !announcesPort()
}

/** The same for a process that may not run Next.js at all. Without PORT, only an older version matches. */
function isCertainlyNextServer(server) {
  if (server.listenerCount('request') === 0) return false
  return hasAnnouncedPort(server) || !announcesPort()
}

function hasAnnouncedPort(server) {
  return String(server.address()?.port) === process.env.PORT
}

/** Whether the project's version of Next.js sets PORT. */
function announcesPort() {
  const version = nextVersion()
  return version === undefined || isAtLeast(version, [13, 4, 19])
}

module.exports = {
  connectToOwnPort,
  isCertainlyNextServer,
  isHttp,
  isNextServer,
  searchServer,
}
