'use strict'

// What an app's setup function adds to a socket.io server, so that it can be taken away when the
// function is replaced: under `next dev` a route's module is evaluated again after an edit.

const { guarded, surface } = require('../errors')

/**
 * Something that handles a namespace's or the engine's events or connections.
 * @typedef {{ emitter: object, event: string | symbol | undefined, handler: Function }} Handler
 */

class Setup {
  #io
  /** @type {Handler[]} */
  #before
  /** @type {Handler[]} */
  #added = []
  #cleanUp
  #isOver = false

  constructor(io, run) {
    /** The app's function; none once it has failed, so that the same one may be run again. */
    this.run = run
    this.#io = io
    this.#before = handlers(io)
  }

  /** Runs it, and throws what it throws. */
  start() {
    const { run } = this
    try {
      this.#settle(run(this.#io))
    } catch (error) {
      this.#fail()
      throw error
    }
  }

  #settle(result) {
    this.#capture()
    // An asynchronous setup adds handlers until it is done.
    if (typeof result?.then === 'function') {
      result.then(
        (value) => this.#settle(value),
        (error) => {
          this.#fail()
          surface(error)
        },
      )
      return
    }
    this.#cleanUp = result
    if (this.#isOver) this.#runCleanUp()
  }

  #fail() {
    this.#capture()
    this.undo()
    this.run = undefined
  }

  /** Notes what it has added. Once it is replaced, what comes is another's. */
  #capture() {
    if (this.#isOver) return
    const before = [...this.#before]
    this.#added = handlers(this.#io).filter((each) => {
      const index = before.findIndex((earlier) => isEqual(earlier, each))
      if (index >= 0) before.splice(index, 1)
      return index < 0
    })
  }

  /** Takes away what it has added, and calls what it has returned. */
  undo() {
    if (this.#isOver) return
    for (const { emitter, event, handler } of this.#added) {
      // A namespace that was made on demand has copies of its parent's handlers.
      for (const each of [emitter, ...(emitter.children ?? [])]) remove(each, event, handler)
    }
    this.#isOver = true
    this.#runCleanUp()
  }

  #runCleanUp() {
    if (typeof this.#cleanUp === 'function') guarded(this.#cleanUp)
  }
}

/** All handlers of a socket.io server. */
function handlers(io) {
  return [...namespaces(io), io.engine].flatMap((emitter) => [
    ...emitter
      .eventNames()
      .flatMap((event) =>
        emitter.rawListeners(event).map((handler) => ({ emitter, event, handler })),
      ),
    ...middlewares(emitter).map((handler) => ({ emitter, event: undefined, handler })),
  ])
}

/** The namespaces of a socket.io server, and those that make others on demand. */
function namespaces(io) {
  return [...io._nsps.values(), ...io.parentNsps.values()]
}

/** The list of a namespace's or the engine's middlewares. */
function middlewares(emitter) {
  return emitter._fns ?? emitter.middlewares
}

function isEqual(left, right) {
  return (
    left.emitter === right.emitter && left.event === right.event && left.handler === right.handler
  )
}

function remove(emitter, event, handler) {
  if (event !== undefined) return emitter.removeListener(event, handler)
  const list = middlewares(emitter)
  const index = list.indexOf(handler)
  if (index >= 0) list.splice(index, 1)
}

module.exports = { Setup, middlewares, namespaces, remove }
