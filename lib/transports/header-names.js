'use strict'

/** How many sequences are kept for reuse. */
const MAX_SEQUENCES = 256

/**
 * The names of a request's headers, as a client has sent them. Clients of one kind send the same names, so
 * their sessions share one object.
 */
class HeaderNames {
  #names
  /** Whether a name occurs twice, so that `headers` does not have all values. */
  repeats

  constructor(names) {
    this.#names = names
    this.repeats = new Set(names.map((name) => name.toLowerCase())).size < names.length
  }

  /** `rawHeaders`, made from `headers`. */
  withValues(headers) {
    return this.#names.flatMap((name) => [name, headers[name.toLowerCase()]])
  }
}

/** By the joined names: a colon does not occur in a name. @type {Map<string, HeaderNames>} */
const sequences = new Map()

/**
 * The names in `rawHeaders`. If a name repeats, `rawHeaders` itself: no other object has all values.
 * @param {string[]} rawHeaders
 */
function headerNames(rawHeaders) {
  const given = rawHeaders.filter((_, index) => index % 2 === 0)
  const key = given.join(':')
  let names = sequences.get(key)
  if (names === undefined) {
    names = new HeaderNames(given)
    if (sequences.size === MAX_SEQUENCES) sequences.clear()
    sequences.set(key, names)
  }
  return names.repeats ? rawHeaders : names
}

module.exports = { HeaderNames, headerNames }
