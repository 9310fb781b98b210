'use strict'

// What an origin is, and lists of origins.

const { isRegExp } = require('node:util').types

const DEFAULT_PORTS = { __proto__: null, http: '80', https: '443' }
const MAX_PORT = 65_535

/** The host may be missing: `file://` is what pages from a disk have. */
const ORIGIN = /^([a-z][a-z\d+.-]*):\/\/(?:([\w.-]+|\[[\da-f:.]+\])(?::(\d{1,5}))?)?$/
const HOST = /^([\w.-]+|\[[\da-f:.]+\])(?::(\d{1,5}))?$/

/**
 * Scheme, host and port of an origin, in lower case, or `undefined` when the text is none. A port
 * that is not there is that of the scheme, if it has one.
 */
function parseOrigin(text) {
  const parts = ORIGIN.exec(text.toLowerCase())
  if (parts === null) return undefined
  const [, scheme, host, port = DEFAULT_PORTS[scheme]] = parts
  if (port > MAX_PORT || (host === undefined && scheme in DEFAULT_PORTS)) return undefined
  return { scheme, host, port }
}

/** As `parseOrigin`, with one trailing slash left out. */
function parseLoosely(text) {
  return parseOrigin(text) ?? (text.endsWith('/') ? parseOrigin(text.slice(0, -1)) : undefined)
}

/** Whether a page of that origin was loaded from `authority`, a host with or without a port. */
function isAt({ scheme, host, port }, authority) {
  const parts = HOST.exec(authority.toLowerCase())
  return parts !== null && parts[1] === host && (parts[2] ?? DEFAULT_PORTS[scheme]) === port
}

/** One spelling for all that are the same; `null` is how browsers write an origin they hide. */
function key(text, parse) {
  if (text === 'null') return text
  const origin = parse(text)
  return origin && `${origin.scheme}://${origin.host ?? ''}:${origin.port ?? ''}`
}

function isOrigin(text) {
  return key(text, parseLoosely) !== undefined
}

/** Whether a list may have this entry. */
function isEntry(entry) {
  return isRegExp(entry) || (typeof entry === 'string' && (entry === '*' || isOrigin(entry)))
}

/** Whether an entry has a slash at its end that no origin has. */
function hasSlash(entry) {
  return typeof entry === 'string' && entry.endsWith('/') && parseOrigin(entry) === undefined
}

/**
 * Origins as `allowedOrigins` and the package `cors` take them: one or an array of `'*'` (any),
 * strings and regular expressions. `true` is any as well; what is no origin equals none.
 */
class OriginList {
  isAny = false
  #keys = new Set()
  #patterns = []

  constructor(entries) {
    for (const entry of [entries].flat(Number.POSITIVE_INFINITY)) {
      if (entry === '*' || entry === true) this.isAny = true
      else if (isRegExp(entry)) this.#patterns.push(entry)
      else if (typeof entry === 'string') this.#keys.add(key(entry, parseLoosely))
    }
    this.#keys.delete(undefined)
  }

  has(origin) {
    if (this.isAny) return true
    if (this.#keys.size > 0 && this.#keys.has(key(origin, parseOrigin))) return true
    // Unlike `test`, `search` keeps no place from one origin to the next.
    return this.#patterns.some((pattern) => origin.search(pattern) >= 0)
  }
}

module.exports = { OriginList, hasSlash, isAt, isEntry, isOrigin, parseLoosely }
