'use strict'

const { ERRORS, refusal } = require('./refusal')

/** Names and values that Node keeps of a request where the server does not say how many. */
const DEFAULT_MAX = 2000

/**
 * Refuses a request that may lack headers: Node drops those beyond `maxHeadersCount`, and an `Origin` or
 * a `Transfer-Encoding` may be among them.
 * @returns {import('./refusal').Refusal | undefined}
 */
function refuseHeaders({ rawHeaders, socket }) {
  const count = socket?.server?.maxHeadersCount
  // As Node's parser has it, up to what is no limit.
  const most = typeof count === 'number' ? count << 1 : DEFAULT_MAX
  if (most <= 0 || !(rawHeaders?.length >= most)) return undefined
  return refusal(ERRORS.BAD_REQUEST, { name: 'TOO_MANY_HEADERS' })
}

module.exports = { refuseHeaders }
