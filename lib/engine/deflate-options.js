'use strict'

const { DEFLATE } = require('../bridge/contract')
const { coded, invalid } = require('../errors')

const boolean = [(value) => typeof value === 'boolean', 'a boolean']
const integer = (min, max) => [
  (value) => Number.isInteger(value) && value >= min && value <= max,
  `a whole number from ${min} to ${max}`,
]
const windowBits = (min) => [
  (value) => typeof value === 'boolean' || integer(min, 15)[0](value),
  `a boolean or a whole number from ${min} to 15`,
]
const object = [(value) => value !== null && typeof value === 'object', 'an object']

/** Checks of what `perMessageDeflate` may contain, with the names and meanings of ws. */
const MEMBERS = {
  clientMaxWindowBits: windowBits(8),
  clientNoContextTakeover: boolean,
  // Without a meaning here: an I/O thread compresses one message after the other.
  concurrencyLimit: integer(1, Number.MAX_SAFE_INTEGER),
  serverMaxWindowBits: windowBits(9),
  serverNoContextTakeover: boolean,
  threshold: integer(0, Number.MAX_SAFE_INTEGER),
  zlibDeflateOptions: object,
  zlibInflateOptions: object,
}

/** Checks of those options of zlib that have a meaning here. Sizes of chunks, for example, have none. */
const ZLIB_MEMBERS = {
  level: integer(-1, 9),
  memLevel: integer(1, 9),
  strategy: integer(0, 4),
}

/**
 * Checks the option `perMessageDeflate`, and fills in the threshold as engine.io does. Unknown members are
 * kept, like unknown options.
 */
function perMessageDeflate(name, value) {
  const wanted = 'a boolean, or an object with options of permessage-deflate'
  if (value !== true && !object[0](value)) throw invalid(name, value, wanted)
  const given = value === true ? {} : value
  checkMembers(name, given, MEMBERS)
  for (const key of ['zlibDeflateOptions', 'zlibInflateOptions']) {
    checkMembers(`${name}.${key}`, given[key] ?? {}, ZLIB_MEMBERS)
    if (given[key]?.dictionary !== undefined) throw noDictionary(`${name}.${key}.dictionary`)
  }
  return { ...given, threshold: given.threshold ?? DEFLATE.threshold }
}

function checkMembers(name, given, members) {
  for (const [key, [isValid, wanted]] of Object.entries(members)) {
    const value = given[key]
    if (value !== undefined && !isValid(value)) throw invalid(`${name}.${key}`, value, wanted)
  }
}

function noDictionary(name) {
  const text = `upwire: option ${name} asks for a dictionary, which permessage-deflate does not have`
  return coded(Error, 'ERR_UPWIRE_UNSUPPORTED_OPTION', text)
}

/** The options of compression as `NativeEngine` takes them; `undefined` if it is off. */
function nativeDeflate({ perMessageDeflate: given, maxDeflateContexts }) {
  if (!given) return undefined
  const { level, memLevel, strategy } = given.zlibDeflateOptions ?? {}
  return JSON.stringify({ ...given, level, memLevel, strategy, maxDeflateContexts })
}

module.exports = { nativeDeflate, perMessageDeflate }
