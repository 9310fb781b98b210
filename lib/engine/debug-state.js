'use strict'

const { isDeepStrictEqual, types } = require('node:util')
const { OPTIONS, readOptions } = require('./options')

/**
 * An engine's state for bug reports, without session ids and addresses of clients.
 * @param {import('./engine').Engine} engine
 * @param {import('./engine').EngineState} state
 */
function engineState(engine, state) {
  return {
    state,
    options: changedOptions(engine.opts),
    middlewares: engine.middlewares.length,
    sessions: countSessions(Object.values(engine.clients)),
    stats: engine.stats(),
  }
}

/** The options of the engine that differ from their defaults. Options of socket.io are left out. */
function changedOptions(options) {
  // Some defaults depend on this option.
  const defaults = readOptions({ maxHttpBufferSize: options.maxHttpBufferSize })
  const names = Object.keys(OPTIONS).filter((name) => {
    const initial = name === 'maxHttpBufferSize' ? OPTIONS[name][1] : defaults[name]
    return !isDeepStrictEqual(options[name], initial)
  })
  return Object.fromEntries(names.map((name) => [name, toJson(options[name])]))
}

/** A value as JSON can hold it. */
function toJson(value) {
  if (typeof value === 'function') return '[function]'
  if (types.isRegExp(value)) return String(value)
  if (Array.isArray(value)) return value.map(toJson)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, toJson(each)]))
}

/** The number of sessions by transport and `readyState`. */
function countSessions(sockets) {
  const counts = { polling: {}, websocket: {} }
  for (const socket of sockets) {
    const states = counts[socket._transportState.name]
    states[socket.readyState] = (states[socket.readyState] ?? 0) + 1
  }
  return counts
}

module.exports = { engineState }
