'use strict'

// Node turns a request with an Upgrade header into an upgrade while the server has a listener for upgrades.
// upwire always has one, so that a server without another would lose the requests of clients that merely offer
// another protocol: curl and Java's HttpClient offer h2c. Such requests become plain ones again.

/**
 * Lets Node decide for each request. Node does that from 22.21 and 24.9 on; before, see `becomeRequest`.
 * @param {import('node:http').Server} server
 * @param {(req: object) => boolean} isOurs
 * @param {import('./front-listener').FrontListener} upgrades
 */
function decideUpgrades(server, isOurs, upgrades) {
  const given = server.shouldUpgradeCallback
  if (typeof given !== 'function') return
  // Node's own function only counts the listeners, and would count upwire's.
  const isDefault = String(given).includes('listenerCount')
  server.shouldUpgradeCallback = function upwireShouldUpgrade(req) {
    upgrades.arrange()
    if (isOurs(req)) return true
    if (isDefault) return upgrades.hasOthers || !isForeign(req)
    return Reflect.apply(given, this, arguments)
  }
}

/** Whether an upgrade is for another protocol than WebSocket. */
function isForeign(req) {
  return req.headers.upgrade?.toLowerCase() !== 'websocket'
}

/**
 * Gives an upgrade back to Node as a plain request, without the token that makes it an upgrade.
 * @returns {boolean} `false` if an earlier response of the connection is not written yet
 */
function becomeRequest(server, req, socket, head) {
  if (socket._httpMessage || socket.destroyed) return false
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`]
  for (let n = 0; n < req.rawHeaders.length; n += 2) {
    const [name, value] = req.rawHeaders.slice(n, n + 2)
    lines.push(`${name}: ${name.toLowerCase() === 'connection' ? withoutUpgrade(value) : value}`)
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]))
  server.emit(socket.encrypted ? 'secureConnection' : 'connection', socket)
  return true
}

function withoutUpgrade(connection) {
  const tokens = connection.split(',').map((token) => token.trim())
  return tokens.filter((token) => token.toLowerCase() !== 'upgrade').join(', ')
}

module.exports = { becomeRequest, decideUpgrades, isForeign }
