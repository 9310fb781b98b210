'use strict'

// Origins as text, and lists of origins.

const { isRegExp } = require('node:util').types

const DEFAULT_PORTS = { __proto__: null, http: '80', https: '443' }
const MAX_PORT = 65_535

/** Some clients that are no browsers send the scheme of the WebSocket instead of a page's. */
const PAGE_SCHEMES = { __proto__: null, ws: 'http', wss: 'https' }

/** The host may be missing: pages that are loaded from a disk have the origin `file://`. */
const ORIGIN = /^([a-z][a-z\d+.-]*):\/\/(?:([\w.-]+|\[[\da-f:.]+\])(?::(\d{1,5}))?)?$/
/** Where the URL standard ends the host and port of a URL. */
const END_OF_AUTHORITY = /[/?#]/
const PRINTABLE = /^[!-~]*$/
const HOST = /^([\w.-]+|\[[\da-f:.]+\])(?::(\d{1,5}))?$/

/**
 * Scheme, host and port of an origin, in lower case; `undefined` when the text is not an origin. Without
 * a port it is the scheme's default port, if there is one. `ws` and `wss` are read as `http` and `https`.
 */
function parseOrigin(text) {
  const parts = ORIGIN.exec(text.toLowerCase())
  if (parts === null) return undefined
  const scheme = PAGE_SCHEMES[parts[1]] ?? parts[1]
  const [, , host, port = DEFAULT_PORTS[scheme]] = parts
  if (port > MAX_PORT || (host === undefined && scheme in DEFAULT_PORTS)) return undefined
  return { scheme, host, port }
}

/** Like `parseOrigin`, but ignores one trailing slash. For entries of lists. */
function parseEntry(text) {
  return parseOrigin(text) ?? (text.endsWith('/') ? parseOrigin(text.slice(0, -1)) : undefined)
}

/** Like `parseOrigin`, but ignores a path, query and fragment. For headers: some clients send a URL. */
function parseHeader(text) {
  return parseOrigin(text) ?? parseOrigin(withoutPath(text))
}

/** The text up to the path, query or fragment of a URL. */
function withoutPath(text) {
  const start = text.indexOf('://') + '://'.length
  const length = text.slice(start).search(END_OF_AUTHORITY)
  if (length < 0 || !PRINTABLE.test(text)) return text
  return text.slice(0, start + length)
}

/** The spellings of a header that regular expressions are tested against. */
function spellings(text) {
  const origin = withoutPath(text)
  const scheme = /^wss?(?=:)/i.exec(origin)?.[0]
  if (scheme === undefined) return [origin]
  return [origin, PAGE_SCHEMES[scheme.toLowerCase()] + origin.slice(scheme.length)]
}

/** Whether an origin has the host and port of `authority`, whose port may be missing. */
function isAt({ scheme, host, port }, authority) {
  const parts = HOST.exec(authority.toLowerCase())
  return parts !== null && parts[1] === host && (parts[2] ?? DEFAULT_PORTS[scheme]) === port
}

/** The same text for all spellings of an origin. Browsers write `null` for an origin that they hide. */
function key(text, parse) {
  if (text === 'null') return text
  const origin = parse(text)
  return origin && `${origin.scheme}://${origin.host ?? ''}:${origin.port ?? ''}`
}

/** Whether two headers name the same origin. */
function isSame(one, other) {
  const oneKey = key(one, parseHeader)
  return oneKey !== undefined && oneKey === key(other, parseHeader)
}

function isOrigin(text) {
  return key(text, parseEntry) !== undefined
}

/** Whether a value may be an entry of a list. */
function isEntry(entry) {
  return isRegExp(entry) || (typeof entry === 'string' && (entry === '*' || isOrigin(entry)))
}

/** Whether an entry ends in a slash, which no origin does. */
function hasSlash(entry) {
  return typeof entry === 'string' && entry.endsWith('/') && parseOrigin(entry) === undefined
}

/**
 * Origins as `allowedOrigins` and the package `cors` accept them: `'*'` or `true` for any origin, strings
 * and regular expressions, or arrays of these. An entry that is not an origin matches none.
 */
class OriginList {
  isAny = false
  #keys = new Set()
  #patterns = []

  constructor(entries) {
    for (const entry of [entries].flat(Number.POSITIVE_INFINITY)) {
      if (entry === '*' || entry === true) this.isAny = true
      else if (isRegExp(entry)) this.#patterns.push(entry)
      else if (typeof entry === 'string') this.#keys.add(key(entry, parseEntry))
    }
    this.#keys.delete(undefined)
  }

  has(origin) {
    if (this.isAny) return true
    if (this.#keys.size > 0 && this.#keys.has(key(origin, parseHeader))) return true
    if (this.#patterns.length === 0) return false
    const texts = spellings(origin)
    // Unlike `test`, `search` does not depend on `lastIndex`, which a global expression keeps.
    return this.#patterns.some((pattern) => texts.some((text) => text.search(pattern) >= 0))
  }
}

module.exports = { OriginList, hasSlash, isAt, isEntry, isOrigin, isSame, parseHeader, parseOrigin }
