'use strict'

// A socket.io server on an engine of upwire, for one path. It can be made before its HTTP server is known.

const { Engine } = require('../engine/engine')
const { pathPrefix } = require('../engine/options')
const { serverFor } = require('./http-servers')
const { replaceRepeatedHandlers } = require('./repeated-handlers')
const { Setup } = require('./setup')
const { addEngine, clientBundle, createServer } = require('./server')

/** The attachments of an HTTP server, by path prefix. A registered symbol, shared by all copies. */
const ATTACHED = Symbol.for('upwire.attached')

class Attachment {
  /** @type {import('node:http').Server | undefined} */
  #server
  /** The app's setup that has run last, or is running. @type {Setup | undefined} */
  #setup
  /** The engines and HTTP servers that `io.attach()` has added. @type {{ engine: Engine, server: object }[]} */
  #further = []

  /** @param {object} given the options as the app has passed them */
  constructor(options, given) {
    this.options = options
    this.given = { ...given }
    this.engine = new Engine(options)
    this.prefix = pathPrefix(this.engine.opts)
    this.io = createServer(this.engine, options)
    this.engine._serveStatic = clientBundle(this.io)
    this.io.attach = (server, opts) => this.#attachFurther(server, opts)
    this.io.listen = this.io.attach
    this.#retireWithServer()
  }

  /**
   * `waiting` for its HTTP server, `bound` to one, or `over`: then another attachment may take its path.
   * @returns {'waiting' | 'bound' | 'over'}
   */
  get state() {
    if (this.engine._isOver) return 'over'
    return this.#server === undefined ? 'waiting' : 'bound'
  }

  /** The HTTP server that it was bound to. */
  get server() {
    return this.#server
  }

  /** Claims the path on an HTTP server. */
  bind(server) {
    this.engine.attach(server, this.options)
    this.#server = server
    this.io.httpServer = server
    attachmentsOf(server).set(this.prefix, this)
  }

  /**
   * The implementation of `io.attach()` and `io.listen()`. As in socket.io, each HTTP server has an engine of its
   * own, and `io.engine` and `io.httpServer` are the newest ones.
   */
  #attachFurther(given, opts = {}) {
    const server = serverFor(given)
    if (this.state === 'waiting') this.bind(server)
    if (attachmentsOf(server).get(this.prefix) === this) return this.io
    const engine = new Engine({ ...opts, ...this.options })
    engine._serveStatic = this.engine._serveStatic
    engine.attach(server, this.options)
    addEngine(this.io, engine)
    this.io.httpServer = server
    attachmentsOf(server).set(this.prefix, this)
    this.#further.push({ engine, server })
    return this.io
  }

  /**
   * Runs the app's setup. A setup that is not the same as the last one replaces it: the handlers that the
   * last one has added are removed, and the clients reconnect to the new ones.
   * @param {(left: Function, right: Function) => boolean} isSame
   */
  setUp(setup, isSame) {
    const last = this.#setup
    if (last?.isOf(setup, isSame)) return
    last?.undo()
    this.#setup = new Setup(this.io, setup)
    this.#setup.start()
    if (last === undefined) return
    // This closes the connections instead of disconnecting the sockets: a client that the server has
    // disconnected does not reconnect by itself.
    for (const socket of Object.values(this.engine.clients)) socket.close()
  }

  /** Called when the app attaches again: handlers that it adds again replace the earlier ones. */
  replaceRepeatedHandlers() {
    replaceRepeatedHandlers(this.io)
  }

  /** Frees the path for another attachment as soon as `io.close()` is called. */
  #retireWithServer() {
    const attachment = this
    const { engine, io } = this
    const { close } = io
    io.close = function upwireClose(...args) {
      // socket.io closes the newest engine and HTTP server.
      const others = [{ engine, server: attachment.#server }, ...attachment.#further]
      for (const each of others) each.engine._retire()
      for (const each of others) {
        if (each.engine !== io.engine) each.engine.close()
        if (each.server !== io.httpServer && each.server?.listening) each.server.close()
      }
      return Reflect.apply(close, this, args)
    }
  }
}

/** The attachments of a server, by prefix. */
function attachmentsOf(server) {
  if (server[ATTACHED] === undefined) {
    Object.defineProperty(server, ATTACHED, { value: new Map(), enumerable: false })
  }
  return server[ATTACHED]
}

module.exports = { Attachment, attachmentsOf }
