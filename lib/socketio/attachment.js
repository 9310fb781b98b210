'use strict'

// A socket.io server on an engine of ours, for one path: made with or without its HTTP server, and
// put on one.

const { Engine } = require('../engine/engine')
const { pathPrefix } = require('../engine/options')
const { replaceRepeats } = require('./repeated-handlers')
const { Setup } = require('./setup')
const { clientBundle, createServer } = require('./server')

/** What is attached to a server, by path prefix; a registered symbol, shared by all copies. */
const ATTACHED = Symbol.for('upwire.attached')

class Attachment {
  /** What the app's `setup` has put on the socket.io server. */
  #setup

  /** @param {object} given the options as the app gave them */
  constructor(options, given) {
    this.options = options
    this.given = { ...given }
    this.engine = new Engine(options)
    this.prefix = pathPrefix(this.engine.opts)
    this.io = createServer(this.engine, options)
    this.engine._serveStatic = clientBundle(this.io)
    this.server = undefined
    this.#retireWithServer()
  }

  /** Takes the path of an HTTP server. */
  bind(server) {
    this.engine.attach(server, this.options)
    this.server = server
    this.io.httpServer = server
    attachedTo(server).set(this.prefix, this)
  }

  /** Whether another may take its path. */
  get isOver() {
    return this.engine._isOver
  }

  /**
   * Runs the app's setup, the first time. When another one comes, what the first has added goes, and
   * the clients reconnect to the new handlers.
   * @param {(left: Function, right: Function) => boolean} isSame
   */
  setUp(setup, isSame) {
    const present = this.#setup
    if (present?.run !== undefined && isSame(present.run, setup)) return
    present?.undo()
    this.#setup = new Setup(this.io, setup)
    this.#setup.start()
    if (present === undefined) return
    // Closing the connection, not the socket: a client that is told to leave does not come back.
    for (const socket of Object.values(this.engine.clients)) socket.close()
  }

  /** The app has asked for this attachment again, and adds its listeners again. */
  replaceRepeats() {
    replaceRepeats(this.io)
  }

  /** From the call of `io.close()` on, the path is free for another. */
  #retireWithServer() {
    const { engine, io } = this
    const { close } = io
    io.close = function upwireClose(...args) {
      engine._isRetired = true
      return Reflect.apply(close, this, args)
    }
  }
}

/** The attachments of a server, by prefix. */
function attachedTo(server) {
  if (server[ATTACHED] === undefined) {
    Object.defineProperty(server, ATTACHED, { value: new Map(), enumerable: false })
  }
  return server[ATTACHED]
}

module.exports = { Attachment, attachedTo }
