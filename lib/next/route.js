'use strict'

// A Pages API route that runs Socket.IO, from the first request on.

const { speaksEngineIO } = require('../intercept')

/**
 * Makes the handler of an API route.
 * @param {object} [options] those of attach()
 * @param {(io: import('socket.io').Server) => unknown} [setup]
 * @returns {(req: import('node:http').IncomingMessage, res: import('node:http').ServerResponse) =>
 *   Promise<void>}
 */
function socketRoute(options = {}, setup = undefined) {
  return async function upwireRoute(req, res) {
    // Only here: who registers loads nothing before it listens.
    const { attach } = require('../attach')
    const { engine } = attach(res.socket?.server, options, setup)
    if (!speaksEngineIO(req)) {
      res.end()
      return
    }
    // The request that made Next.js run the route came before anybody had the path.
    engine.handleRequest(req, res)
    // Next.js warns about routes that return before their answer.
    if (!res.writableFinished && !res.destroyed)
      await new Promise((done) => res.once('close', done))
  }
}

module.exports = { socketRoute }
