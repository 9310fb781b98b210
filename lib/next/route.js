'use strict'

// A Pages API route that runs Socket.IO, from the first request on.

const { speaksEngineIO } = require('../http-server/path-claims')
const { isProduction } = require('../environment/phase')

/**
 * Makes the handler of an API route.
 * @param {object} [options] those of attach()
 * @param {(io: import('socket.io').Server) => unknown} [setup]
 * @returns {(req: import('node:http').IncomingMessage, res: import('node:http').ServerResponse) =>
 *   Promise<void>}
 */
function socketRoute(options = {}, setup = undefined) {
  // A route that was edited, or something that it imports, is evaluated again and comes here anew.
  let isNew = !isProduction()
  const isSame = (left, right) => !isNew || left === right
  return async function upwireRoute(req, res) {
    // Only here: who registers loads nothing before it listens.
    const { attachTo } = require('../socketio/attach')
    const { engine } = attachTo(res.socket?.server, options, setup, isSame, 'socketRoute')
    isNew = false
    if (!speaksEngineIO(req)) {
      res.end()
      return
    }
    // Next.js may have compiled for longer than the client has waited.
    if (res.destroyed) return
    // The request that made Next.js run the route came before anybody had the path.
    engine.handleRequest(req, res)
    // Next.js warns about routes that return before their answer.
    if (!res.writableFinished) await new Promise((done) => res.once('close', done))
  }
}

module.exports = { socketRoute }
