'use strict'

const { constants } = require('node:buffer')
const { totalmem } = require('node:os')
const { parseBlock } = require('../admission/client-address')
const { DEFLATE, LIMITS, SHARED_LIMITS } = require('../bridge/contract')
const { originsOf } = require('../admission/origin/cors')
const { coded, invalid, unsupported: unsupportedMember, warnOnce } = require('../errors')
const { hasSlash, isEntry } = require('../admission/origin/list')
const { checkPath } = require('../http-server/path')
const { perMessageDeflate } = require('./deflate-options')
const { cookie } = require('./session-cookie')

const MiB = 1024 * 1024
const MAX_MILLISECONDS = 2 ** 31 - 1
const MAX_COUNT = 2 ** 32 - 1
const MAX_RATE = 1_000_000

const integer = (min, max, unit) => (name, value) => {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw invalid(name, value, `a whole number of ${unit} from ${min} to ${max}`)
}

const boolean = (name, value) => {
  if (typeof value === 'boolean') return value
  throw invalid(name, value, 'a boolean')
}

const oneOf = (values) => (name, value) => {
  if (values.includes(value)) return value
  throw invalid(name, value, `one of ${values.map((each) => JSON.stringify(each)).join(', ')}`)
}

const func = (name, value) => {
  if (typeof value === 'function') return value
  throw invalid(name, value, 'a function')
}

const TRANSPORTS = ['polling', 'websocket']

function transports(name, given) {
  const value = TRANSPORTS.includes(given) ? [given] : given
  if (!Array.isArray(value) || value.length === 0) {
    throw invalid(name, value, 'a non-empty array of "polling" and "websocket"')
  }
  for (const transport of value) {
    if (transport === 'webtransport') throw unsupported(name, 'the transport "webtransport"')
    oneOf(TRANSPORTS)(name, transport)
  }
  return [...value]
}

function cors(name, value) {
  if (value === true || typeof value === 'function') return value
  // The package cors treats a text as if no options were given.
  if (value === '*') return { origin: '*' }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalid(name, value, 'a boolean, an options object of the cors package, or a function')
  }
  const origins = originsOf(value)
  if (typeof origins === 'function') return value
  if (Array.isArray(value.origin) && value.origin.flat(Number.POSITIVE_INFINITY).includes('*')) {
    const text =
      "'*' in a list of cors.origin allows no origin, as in the package cors: write origin: '*'"
    warnOnce('cors.origin *', 'UPWIRE_ORIGIN', text)
  }
  // Like the package, ignore empty entries: one may come from an environment variable that is not set.
  const entries = [origins].flat(Number.POSITIVE_INFINITY).filter(Boolean)
  for (const entry of entries) if (entry !== true) checkOrigin('cors.origin', entry)
  return value
}

function allowedOrigins(name, value) {
  if (typeof value === 'function') return value
  for (const entry of [value].flat()) checkOrigin(name, entry)
  return value
}

function checkOrigin(name, entry) {
  if (!isEntry(entry)) {
    const wanted =
      '"*", origins like "https://app.example" without path or user, regular expressions'
    throw invalid(name, entry, `${wanted}, or a function`)
  }
  if (hasSlash(entry)) {
    const text = `origins do not end in a slash: the one of "${entry}" in ${name} is ignored`
    warnOnce(`${name} ${entry}`, 'UPWIRE_ORIGIN', text)
  }
}

function trustProxy(name, value) {
  const wanted = 'an array of IP addresses and blocks such as "10.0.0.0/8"'
  if (!Array.isArray(value)) throw invalid(name, value, wanted)
  for (const entry of value) {
    if (parseBlock(entry) === undefined) throw invalid(name, entry, wanted)
  }
  return [...value]
}

const milliseconds = (min) => integer(min, MAX_MILLISECONDS, 'milliseconds')
const bytes = (min) => integer(min, Number.MAX_SAFE_INTEGER, 'bytes')
const count = (min) => integer(min, MAX_COUNT, 'items')

/**
 * What `Infinity` means for a part of the heartbeat: 11 days. Clients pass the sum of both parts to a timer,
 * which must not exceed 2^31 - 1 milliseconds.
 */
const NEVER = 1_000_000_000

/** As for a timer, 0 means 1. */
function pingInterval(name, value) {
  return value === 0 ? 1 : pingTimeout(name, value)
}

function pingTimeout(name, value) {
  return value === Number.POSITIVE_INFINITY ? NEVER : milliseconds(1)(name, value)
}

/** A longer message could not become a JavaScript string. */
const MAX_MESSAGE = constants.MAX_STRING_LENGTH

function messageSize(name, value) {
  if (value === Number.POSITIVE_INFINITY) return MAX_MESSAGE
  bytes(1)(name, value)
  if (value <= MAX_MESSAGE) return value
  const text = `${name} ${value} is longer than a string can be: ${MAX_MESSAGE} is used`
  warnOnce(name, 'UPWIRE_MAX_MESSAGE', text)
  return MAX_MESSAGE
}

/** A quarter of the memory this process may use, at least 256 MiB. */
function quarterOfMemory() {
  const constrained = process.constrainedMemory?.() ?? 0
  const total = totalmem()
  const available = constrained > 0 && constrained < total ? constrained : total
  return Math.max(Math.floor(available / 4), 256 * MiB)
}

/**
 * Check and default of each option. The native side defines the defaults of the limits that it enforces.
 * `readOptions` fills in the defaults that depend on other options.
 */
const OPTIONS = {
  addTrailingSlash: [boolean, true],
  allowEIO3: [boolean, false],
  allowRequest: [func, undefined],
  allowUpgrades: [boolean, true],
  allowedOrigins: [allowedOrigins, undefined],
  closeTimeout: [milliseconds(1), LIMITS.closeTimeout],
  cookie: [cookie, false],
  cors: [cors, false],
  destroyUpgrade: [boolean, true],
  destroyUpgradeTimeout: [milliseconds(0), 1000],
  handshakeTimeout: [milliseconds(1), 20_000],
  initialPacket: [(_name, value) => value, undefined],
  ioThreads: [integer(1, 64, 'threads'), 1],
  maxDeflateContexts: [count(0), DEFLATE.maxDeflateContexts],
  maxDepth: [count(0), LIMITS.maxDepth],
  maxFragments: [count(1), LIMITS.maxFragments],
  maxHandshakeRate: [integer(0, MAX_RATE, 'handshakes a second'), 0],
  maxHttpBufferSize: [messageSize, LIMITS.maxHttpBufferSize],
  maxLoopStall: [milliseconds(1), SHARED_LIMITS.maxLoopStall],
  maxMessageRate: [integer(0, MAX_RATE, 'messages a second'), LIMITS.maxMessageRate],
  maxPendingHandshakes: [count(1), 16_384],
  maxPendingPongs: [count(1), LIMITS.maxPendingPongs],
  maxReceiveQueue: [bytes(1), undefined],
  maxSendBuffer: [bytes(0), LIMITS.maxSendBuffer],
  maxSessions: [count(0), 100_000],
  maxSessionsPerAddress: [count(0), 0],
  maxTotalReceiveQueue: [bytes(1), SHARED_LIMITS.maxTotalReceiveQueue],
  maxTotalSendBuffer: [bytes(0), undefined],
  path: [checkPath, '/engine.io'],
  perMessageDeflate: [perMessageDeflate, false],
  pingInterval: [pingInterval, LIMITS.pingInterval],
  pingTimeout: [pingTimeout, LIMITS.pingTimeout],
  requireOrigin: [boolean, false],
  slowConsumer: [oneOf(['close', 'drop']), LIMITS.slowConsumer],
  transports: [transports, TRANSPORTS],
  trustProxy: [trustProxy, []],
  upgradeTimeout: [milliseconds(1), LIMITS.upgradeTimeout],
}

/** Features of engine.io that upwire does not have yet. Asking for one is an error. */
const UNSUPPORTED = {
  wsEngine: 'another WebSocket engine, but native code reads and writes the frames',
}

function unsupported(name, feature) {
  return coded(
    Error,
    'ERR_UPWIRE_UNSUPPORTED_OPTION',
    `upwire: option ${name} asks for ${feature}, which this version does not support`,
  )
}

/** Refuses options that ask for an unsupported feature. `false` and `null` do not ask for it. */
function refuseUnsupported(given) {
  for (const [name, feature] of Object.entries(UNSUPPORTED)) {
    if (given[name] !== undefined && given[name] !== false && given[name] !== null) {
      throw unsupported(name, feature)
    }
  }
  const compression = given.httpCompression
  if (compression !== undefined && compression !== null && compression !== false) {
    throw unsupported('httpCompression', 'compression of polling responses')
  }
}

/** Options that `false` and `null` switch off. */
const CAN_BE_OFF = [
  'allowEIO3',
  'cookie',
  'cors',
  'allowRequest',
  'perMessageDeflate',
  'trustProxy',
]

/** Whether engine.io treats a value as if the option were not given. */
function isOff(name, value) {
  if (name === 'path') return value === '' || value === null
  return (value === false || value === null) && CAN_BE_OFF.includes(name)
}

/**
 * Checks the options of an engine and fills in defaults. Unknown names are kept, because socket.io passes
 * its own options along.
 * @param {Record<string, unknown>} given
 */
function readOptions(given = {}) {
  if (given === null || typeof given !== 'object') {
    throw invalid('opts', given, 'an object')
  }
  refuseUnsupported(given)
  const options = { ...given }
  for (const [name, [check, fallback]] of Object.entries(OPTIONS)) {
    const value = given[name]
    const isGiven = value !== undefined && !isOff(name, value)
    options[name] = isGiven ? check(name, value) : fallback
  }
  options.maxReceiveQueue ??= Math.max(2 * options.maxHttpBufferSize, MiB)
  options.maxTotalSendBuffer ??= quarterOfMemory()
  return options
}

/** The default of `drain()`'s `deadline`, in milliseconds. */
const DRAIN_DEADLINE = 10_000

/** Checks the options of `drain()`. The default of `rate` depends on how many sessions there are. */
function readDrainOptions(given = {}) {
  if (given === null || typeof given !== 'object') throw invalid('options', given, 'an object')
  const { deadline = DRAIN_DEADLINE, rate } = given
  return {
    deadline: milliseconds(0)('deadline', deadline),
    rate: rate === undefined ? undefined : integer(1, MAX_RATE, 'sessions a second')('rate', rate),
  }
}

/** The prefix that a request's URL must have, by engine.io's rule. */
function pathPrefix({ path: given, addTrailingSlash }) {
  const bare = (given ?? '/engine.io').replace(/\/$/, '')
  return addTrailingSlash === false ? bare : `${bare}/`
}

/**
 * The limits of an engine that the native side enforces, as `NativeEngine` takes them.
 * @param {ReturnType<typeof readOptions>} options
 */
function nativeLimits(options) {
  const limits = Object.keys(LIMITS).map((name) => [name, options[name]])
  return JSON.stringify(Object.fromEntries(limits))
}

/** Options that native code gets when an engine is made. */
const NATIVE = [...Object.keys(LIMITS), 'allowEIO3', 'perMessageDeflate', 'transports']

/** Makes a later change of an option that native code has already got an error, not a silent loss. */
function fixNativeOptions(options) {
  for (const name of NATIVE) {
    const value = options[name]
    Object.defineProperty(options, name, {
      enumerable: true,
      get: () => value,
      set() {
        const what = `a change of engine.opts.${name} while the engine runs`
        throw unsupportedMember(what, 'the I/O threads have its value; pass it to the constructor')
      },
    })
  }
  return options
}

module.exports = {
  OPTIONS,
  fixNativeOptions,
  nativeLimits,
  pathPrefix,
  readDrainOptions,
  readOptions,
}
