'use strict'

// What a request tells of the host that its page was loaded from.

/** The host that the client has asked for; HTTP/2 has it in `:authority`. */
function hostOf({ headers }) {
  return headers.host ?? headers[':authority']
}

/** A proxy may terminate TLS, so an https origin is possible on a plain connection; http over TLS is not. */
function isWeb({ scheme }, req) {
  return scheme === 'https' || (scheme === 'http' && !req.socket?.encrypted)
}

/** The first entry of a header that is a list. */
function first(list) {
  return list?.split(',', 1)[0].trim()
}

/** The last entry of a header that is a list. */
function last(list) {
  return list?.slice(list.lastIndexOf(',') + 1).trim()
}

module.exports = { first, hostOf, isWeb, last }
