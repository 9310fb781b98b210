'use strict'

// Records the handlers that an app's setup function adds to a socket.io server, so that they can be
// removed when the function is replaced: `next dev` evaluates a route's module again after an edit.

const { guarded, surface } = require('../errors')

/**
 * A listener or middleware of a namespace or of the engine; a middleware has no `event`.
 * @typedef {{ emitter: object, event: string | symbol | undefined, handler: Function }} Handler
 */

/**
 * The state of a setup. `running`: the function is being called, or its promise is pending. `failed`: it has
 * thrown or rejected, its handlers are removed, and the same function may run again. `replaced`: its
 * handlers are removed. If its promise is still pending, the handlers that it adds from now on stay.
 * @typedef {{ name: 'running', run: Function, before: Handler[], added: Handler[] }
 *   | { name: 'done', run: Function, added: Handler[], cleanUp: unknown }
 *   | { name: 'failed' }
 *   | { name: 'replaced' }} State
 */

class Setup {
  #io
  /** @type {State} */
  #state

  /** @param {Function} run the app's function; `start()` calls it */
  constructor(io, run) {
    this.#io = io
    this.#state = { name: 'running', run, before: handlersOf(io), added: [] }
  }

  /**
   * Whether this setup has run a function, or is running it, and a given one is the same.
   * @param {(left: Function, right: Function) => boolean} isSame
   */
  isOf(run, isSame) {
    return this.#state.run !== undefined && isSame(this.#state.run, run)
  }

  /** Calls the app's function, and throws the errors that it throws. */
  start() {
    const { run } = this.#state
    try {
      this.#settle(run(this.#io))
    } catch (error) {
      this.#fail()
      throw error
    }
  }

  #settle(result) {
    this.#recordAdded()
    // An asynchronous setup adds handlers until its promise resolves.
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
    if (this.#state.name === 'replaced') callCleanUp(result)
    if (this.#state.name !== 'running') return
    const { run, added } = this.#state
    this.#state = { name: 'done', run, added, cleanUp: result }
  }

  #fail() {
    this.#recordAdded()
    if (this.#state.name !== 'running') return
    removeAll(this.#state.added)
    this.#state = { name: 'failed' }
  }

  /** Records the handlers added so far. After a replacement, new handlers belong to another setup. */
  #recordAdded() {
    if (this.#state.name !== 'running') return
    const before = [...this.#state.before]
    this.#state.added = handlersOf(this.#io).filter((each) => {
      const index = before.findIndex((earlier) => isEqual(earlier, each))
      if (index >= 0) before.splice(index, 1)
      return index < 0
    })
  }

  /** Removes the handlers that the setup has added, and calls the clean-up that it has returned. */
  undo() {
    const state = this.#state
    if (state.name !== 'running' && state.name !== 'done') return
    removeAll(state.added)
    this.#state = { name: 'replaced' }
    if (state.name === 'done') callCleanUp(state.cleanUp)
  }
}

function callCleanUp(cleanUp) {
  if (typeof cleanUp === 'function') guarded(cleanUp)
}

/** All handlers of a socket.io server. */
function handlersOf(io) {
  return [...namespaces(io), io.engine].flatMap((emitter) => [
    ...emitter
      .eventNames()
      .flatMap((event) =>
        emitter.rawListeners(event).map((handler) => ({ emitter, event, handler })),
      ),
    ...middlewares(emitter).map((handler) => ({ emitter, event: undefined, handler })),
  ])
}

/** The namespaces of a socket.io server, and the parents that make namespaces on demand. */
function namespaces(io) {
  return [...io._nsps.values(), ...io.parentNsps.values()]
}

/** The middlewares of a namespace or of the engine: the array itself, not a copy. */
function middlewares(emitter) {
  return emitter._fns ?? emitter.middlewares
}

function isEqual(left, right) {
  return (
    left.emitter === right.emitter && left.event === right.event && left.handler === right.handler
  )
}

/** @param {Handler[]} handlers */
function removeAll(handlers) {
  for (const { emitter, event, handler } of handlers) {
    // A namespace that was made on demand has copies of its parent's handlers.
    for (const each of [emitter, ...(emitter.children ?? [])]) remove(each, event, handler)
  }
}

function remove(emitter, event, handler) {
  if (event !== undefined) return emitter.removeListener(event, handler)
  const list = middlewares(emitter)
  const index = list.indexOf(handler)
  if (index >= 0) list.splice(index, 1)
}

module.exports = { Setup, middlewares, namespaces, remove }
