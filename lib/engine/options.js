'use strict'

const { constants } = require('node:buffer')
const { totalmem } = require('node:os')
const { parseBlock } = require('../admission/client-address')
const { originsOf } = require('../admission/origin/cors')
const { coded, invalid, warnOnce } = require('../errors')
const { hasSlash, isEntry } = require('../admission/origin/list')
const { checkPath } = require('../http-server/path')

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

function transports(name, value) {
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
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw invalid(name, value, 'a boolean, an options object of the cors package, or a function')
  }
  const origins = originsOf(value)
  if (typeof origins === 'function') return value
  if (Array.isArray(value.origin) && value.origin.flat(Number.POSITIVE_INFINITY).includes('*')) {
    const text =
      "'*' in the list cors.origin allows nobody, as in the package cors: write origin: '*'"
    warnOnce('cors.origin *', 'UPWIRE_ORIGIN', text)
  }
  // The package takes what is empty for no origin: an entry from an environment variable, say.
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
    const text = `no origin ends in a slash: "${entry}" in ${name} is taken without it`
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

/** More than that is no JavaScript string any more. */
const MAX_MESSAGE = constants.MAX_STRING_LENGTH

function messageSize(name, value) {
  bytes(1)(name, value)
  if (value <= MAX_MESSAGE) return value
  const text = `${name} ${value} is more than a string can hold: ${MAX_MESSAGE} is used`
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

/** Name, check, default. Defaults that depend on other options are filled in afterwards. */
const OPTIONS = {
  addTrailingSlash: [boolean, true],
  allowRequest: [func, undefined],
  allowUpgrades: [boolean, true],
  allowedOrigins: [allowedOrigins, undefined],
  closeTimeout: [milliseconds(1), 3000],
  cors: [cors, false],
  destroyUpgrade: [boolean, true],
  destroyUpgradeTimeout: [milliseconds(0), 1000],
  handshakeTimeout: [milliseconds(1), 20_000],
  ioThreads: [integer(1, 64, 'threads'), 1],
  maxDepth: [count(0), 0],
  maxFragments: [count(1), 16_384],
  maxHandshakeRate: [integer(0, MAX_RATE, 'handshakes a second'), 0],
  maxHttpBufferSize: [messageSize, 1_000_000],
  maxLoopStall: [milliseconds(1), 30_000],
  maxMessageRate: [integer(0, MAX_RATE, 'messages a second'), 0],
  maxPendingHandshakes: [count(1), 16_384],
  maxPendingPongs: [count(1), 60],
  maxReceiveQueue: [bytes(1), undefined],
  maxSendBuffer: [bytes(0), 16 * MiB],
  maxSessions: [count(0), 100_000],
  maxSessionsPerAddress: [count(0), 0],
  maxTotalReceiveQueue: [bytes(1), 64 * MiB],
  maxTotalSendBuffer: [bytes(0), undefined],
  path: [checkPath, '/engine.io'],
  pingInterval: [milliseconds(1), 25_000],
  pingTimeout: [milliseconds(1), 20_000],
  requireOrigin: [boolean, false],
  slowConsumer: [oneOf(['close', 'drop']), 'close'],
  transports: [transports, TRANSPORTS],
  trustProxy: [trustProxy, []],
  upgradeTimeout: [milliseconds(1), 10_000],
}

/** Features of engine.io that are not there yet: asking for one is an error, never ignored. */
const UNSUPPORTED = {
  allowEIO3: 'Engine.IO protocol 3',
  cookie: 'the session cookie',
  initialPacket: 'an initial packet',
  maxDeflateContexts: 'permessage-deflate',
  perMessageDeflate: 'permessage-deflate',
  wsEngine: 'another WebSocket engine',
}

function unsupported(name, feature) {
  return coded(
    Error,
    'ERR_UPWIRE_UNSUPPORTED_OPTION',
    `upwire: option ${name} asks for ${feature}, which this version does not have`,
  )
}

/** `httpCompression` is on by default in engine.io, so only an explicit wish is refused. */
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
const OFF_WITHOUT = ['cors', 'allowRequest', 'trustProxy']

/** What engine.io takes for "not given", where it only asks whether there is something. */
function isOff(name, value) {
  if (name === 'path') return value === '' || value === null
  return (value === false || value === null) && OFF_WITHOUT.includes(name)
}

/**
 * Checks the options of an engine and fills in defaults. Names that upwire does not know are kept:
 * socket.io passes all its options through.
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

/** How long `drain()` takes at most. */
const DRAIN_DEADLINE = 10_000

/** Checks the options of `drain()`. Without a rate it is such that the deadline is just met. */
function readDrainOptions(given = {}) {
  if (given === null || typeof given !== 'object') throw invalid('options', given, 'an object')
  const { deadline = DRAIN_DEADLINE, rate } = given
  return {
    deadline: milliseconds(0)('deadline', deadline),
    rate: rate === undefined ? undefined : integer(1, MAX_RATE, 'sessions a second')('rate', rate),
  }
}

/** The prefix that a request's URL must have: engine.io's rule. */
function pathPrefix({ path: given, addTrailingSlash }) {
  const bare = (given ?? '/engine.io').replace(/\/$/, '')
  return addTrailingSlash === false ? bare : `${bare}/`
}

module.exports = { OPTIONS, pathPrefix, readDrainOptions, readOptions }
