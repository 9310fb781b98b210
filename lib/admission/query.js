'use strict'

/** A query as Engine.IO's own clients write it: nothing in it has to be decoded. */
const PLAIN_QUERY = /^(?:[A-Za-z][\w-]*=[\w.-]*(?:&|$))*$/

/** Sets `req._query`, once per request: upwire checks the same values that the app sees. */
function readQuery(req) {
  if (req._query) return
  const start = req.url.indexOf('?')
  req._query = parseQuery(start < 0 ? '' : req.url.slice(start + 1).split('#', 1)[0])
}

/** Names and values of a query. The last value of a repeated name counts. */
function parseQuery(search) {
  if (!PLAIN_QUERY.test(search)) return Object.fromEntries(new URLSearchParams(search))
  const query = {}
  for (const pair of search.split('&')) {
    const equals = pair.indexOf('=')
    if (equals > 0) query[pair.slice(0, equals)] = pair.slice(equals + 1)
  }
  return query
}

/** Whether a request names a session. An empty id names none. */
function namesSession({ _query: { sid } }) {
  return typeof sid === 'string' && sid !== ''
}

/** The revision of the protocol. As in engine.io, everything but `4` is revision 3. */
function revisionOf({ _query: { EIO } }) {
  return EIO === '4' ? 4 : 3
}

/** Whether the client wants binary messages as base64 text. */
function wantsBase64({ _query: { b64 } }) {
  return Boolean(b64)
}

/** The index of the function that answers call, if the request asks for JSONP. */
function jsonpIndex({ _query: { j } }) {
  return typeof j === 'string' ? j : undefined
}

module.exports = { jsonpIndex, namesSession, readQuery, revisionOf, wantsBase64 }
