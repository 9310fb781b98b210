'use strict'

// A Pages API route that runs Socket.IO from its first request on.

const { speaksEngineIO } = require('../http-server/wrap-server')
const { isProduction } = require('../environment/phase')

/**
 * Makes the handler of an API route.
 * @param {object} [options] those of attach()
 * @param {import('../../index').Setup} [setup] adds the app's handlers
 * @returns {(req: import('node:http').IncomingMessage, res: import('node:http').ServerResponse) =>
 *   Promise<void>} rejects with the errors that attach() throws
 */
function socketRoute(options = {}, setup = undefined) {
  // After an edit of the route, or of a module that it imports, `next dev` evaluates the route again and
  // so makes a new handler, whose setup replaces the earlier one.
  let isNew = !isProduction()
  const isSame = (left, right) => !isNew || left === right
  return async function upwireRoute(req, res) {
    // Loaded here, because an app that imports upwire/next for registerUpwire() must load nothing else
    // before its search for the server begins.
    const { attachTo } = require('../socketio/attach')
    const { engine } = attachTo(res.socket?.server, options, setup, isSame, 'socketRoute')
    isNew = false
    if (!speaksEngineIO(req)) {
      res.end()
      return
    }
    // Next.js may have compiled for longer than the client has waited.
    if (res.destroyed) return
    // The request that made Next.js run the route arrived before the path was claimed.
    engine.handleRequest(req, res)
    // Next.js warns about a route that returns before its response is finished.
    if (!res.writableFinished) await new Promise((done) => res.once('close', done))
  }
}

module.exports = { socketRoute }
