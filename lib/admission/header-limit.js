'use strict'

const { ERRORS, refusal } = require('./refusal')

/** How many names and values Node keeps of a request when the server sets no `maxHeadersCount`. */
const DEFAULT_MAX = 2000

/**
 * Refuses a request that may lack headers: Node drops those beyond `maxHeadersCount`, which may include
 * an `Origin` or a `Transfer-Encoding`.
 * @returns {import('./refusal').Refusal | undefined}
 */
function checkHeaderCount({ rawHeaders, socket }) {
  const count = socket?.server?.maxHeadersCount
  // As in Node's parser, also for values that mean no limit.
  const max = typeof count === 'number' ? count << 1 : DEFAULT_MAX
  if (max <= 0 || !(rawHeaders?.length >= max)) return undefined
  return refusal(ERRORS.BAD_REQUEST, { name: 'TOO_MANY_HEADERS' })
}

module.exports = { checkHeaderCount }
