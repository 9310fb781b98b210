// A server with an engine, the app's view of it, the peers of a test, and the proof at the end that
// nothing was left behind.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { Engine } from 'upwire'
import { descriptors, opened } from './descriptors.mjs'
import { until, within } from './events.mjs'
import { ANSWER, QUESTION, proveGoodClient } from './good-client.mjs'
import { Peer } from './peer.mjs'
import { listen } from './ports.mjs'

/** A session as the app sees it. */
export class Session {
  constructor(socket) {
    this.socket = socket
    this.messages = []
    this.closes = []
    socket.on('data', (data) => {
      this.messages.push(data)
      if (data === QUESTION) socket.send(ANSWER)
    })
    socket.on('close', (reason, description) => this.closes.push({ reason, description }))
  }

  /** Waits for the end; returns its reason and description. */
  async closed() {
    await until(() => this.closes.length > 0, 'the session to close')
    return this.closes[0]
  }

  /** Waits until this many messages have come. */
  async received(count) {
    await until(
      () => this.messages.length >= count,
      () => `${count} messages, got ${this.messages.length}`,
    )
    return this.messages
  }
}

/** One test's server. */
export class World {
  #baseline
  #peers = []
  #sessionsTaken = 0
  #refusalsTaken = 0

  constructor(engine, server) {
    this.engine = engine
    this.server = server
    this.sessions = []
    this.refusals = []
    this.limits = []
    /** Requests that the engine left to the app. */
    this.pages = []
    /** The query of the good client. */
    this.goodQuery = undefined
    /** The headers of the good client. */
    this.goodHeaders = undefined
    engine.on('connection', (socket) => this.sessions.push(new Session(socket)))
    engine.on('connection_error', (refusal) => this.refusals.push(refusal))
    engine.on('limit', (limit) => this.limits.push(limit))
  }

  /** Starts a server. `serverOptions` are Node's, all others the engine's. */
  static async start({ serverOptions = {}, ...options } = {}) {
    const world = new World(
      new Engine(options),
      createServer(serverOptions, (req, res) => {
        world.pages.push(req.url)
        res.end(`page ${req.url}`)
      }),
    )
    world.engine.attach(world.server, options)
    world.port = await listen(world.server)
    world.#baseline = descriptors()
    return world
  }

  /** A new TCP connection, with its first bytes. */
  async peer(...bytes) {
    const peer = await Peer.connect(this.port)
    this.#peers.push(peer)
    if (bytes.length > 0) peer.write(...bytes)
    return peer
  }

  /** The next session that this method has not returned yet. */
  async session() {
    const index = this.#sessionsTaken++
    await until(() => this.sessions.length > index, 'a session')
    return this.sessions[index]
  }

  /** Code, message and context of the next refusal. */
  async refusal() {
    const index = this.#refusalsTaken++
    await until(() => this.refusals.length > index, 'a connection_error')
    const { req, code, message, context } = this.refusals[index]
    assert.equal(typeof req.url, 'string', 'connection_error has the request')
    return { code, message, context }
  }

  /** Checks that nothing has reached the engine. */
  assertUntouched() {
    assert.deepEqual(this.sessions, [], 'no session')
    assert.deepEqual(this.refusals, [], 'no connection_error')
  }

  /** Proves that the server still serves a good client. */
  proveGood() {
    const { transports } = this.engine.opts
    const { goodQuery: query, goodHeaders: headers } = this
    return proveGoodClient(this.port, { transports, query, headers })
  }

  /** Closes all peers; proves that no session, connection or descriptor is left. */
  async proveClean() {
    for (const peer of this.#peers) peer.destroy()
    for (const { socket } of this.sessions) socket.close(true)
    await until(
      () => this.engine.clientsCount === 0,
      () => `all sessions to end; left: ${this.engine.clientsCount}`,
    )
    assert.deepEqual(Object.keys(this.engine.clients), [])
    await until(
      () => this.sessions.every(({ closes }) => closes.length > 0),
      'a close for each session',
    )
    for (const { closes } of this.sessions)
      assert.equal(closes.length, 1, 'one close for each session')
    await until(
      () => opened(this.#baseline).length === 0,
      () => `all descriptors to be closed; left: ${opened(this.#baseline)}`,
    )
  }

  /** Closes everything, also after a failed test. */
  async close() {
    for (const peer of this.#peers) peer.destroy()
    for (const { socket } of this.sessions) socket.close(true)
    this.engine.close()
    const closed = new Promise((resolve) => this.server.close(resolve))
    this.server.closeAllConnections()
    await within(closed, 'the server to close')
  }
}

/**
 * A test with a server of its own. Afterwards it proves that a good client works and that no session
 * or descriptor is left.
 * @param {string} name
 * @param {object} options of the engine
 * @param {(world: World, t: import('node:test').TestContext) => Promise<void>} body
 */
export function wire(name, options, body) {
  test(name, { timeout: 30_000 }, async (t) => {
    const world = await World.start(options)
    try {
      await body(world, t)
      await world.proveGood()
      await world.proveClean()
    } finally {
      await world.close()
    }
  })
}
