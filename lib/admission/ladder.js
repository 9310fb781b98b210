'use strict'

// Decides which requests and upgrades the engine takes: every check is in one list, in the order in
// which it is made. Cheap checks come first, and all limits on clients before any app code.

const native = require('../bridge/binding')
const { guarded } = require('../errors')
const { checkHeaderCount } = require('./header-limit')
const { logRefusal } = require('./loggable')
const { checkNatively, explain, precedesOrigin } = require('./native-check')
const { ASK } = require('./origin/rule')
const { namesSession } = require('./query')
const {
  DONE,
  ERRORS,
  MESSAGES,
  idRefusal,
  overloaded,
  refusal,
  shuttingDown,
  tooFast,
  tooMany,
  tooManySessions,
} = require('./refusal')

const { Verdict } = native
const { checkId } = require('./session-id')

/** Returned instead of a refusal: the checks that follow may ask app code, which may take its time. */
const ASK_APP = Symbol('ask app')

/**
 * Each gets a candidate, and returns `undefined` when the candidate passes, a refusal, or `DONE`. Those
 * behind `checkWaiting` may also return a promise of one of these.
 */
const CHECKS = [
  (candidate) => candidate.checkConnection(),
  ({ req }) => checkHeaderCount(req),
  checkIsOpen,
  checkHandshakeRate,
  checkSessionCount,
  checkWaiting,
  askMiddlewares,
  askOrigin,
  checkRequest,
  (candidate) => candidate.checkOpeningHandshake(),
  joinSession,
  askAllowRequest,
  makeId,
  checkAfterWaiting,
  (candidate) => candidate.open(),
]

/**
 * Accepts or refuses a request or an upgrade: hands it to its session, opens one for it, or answers it with
 * a refusal. Runs synchronously unless it must call app code.
 * @param {import('./candidate').Candidate} candidate
 * @returns {Promise<void> | undefined}
 */
function decide(candidate) {
  const outcome = runChecks(candidate)
  if (outcome === ASK_APP) return decideWithApp(candidate)
  finish(candidate, outcome)
}

/** The rest of `decide` where app code is asked. Synchronous up to the first question. */
async function decideWithApp(candidate) {
  candidate.startWaiting()
  try {
    let outcome = runChecks(candidate)
    while (outcome instanceof Promise) outcome = (await outcome) ?? runChecks(candidate)
    finish(candidate, outcome)
  } finally {
    candidate.pending.end()
    candidate.stopWaiting()
  }
}

/** Runs the checks that are left, up to one that returns something. */
function runChecks(candidate) {
  while (candidate.nextCheck < CHECKS.length) {
    const outcome = CHECKS[candidate.nextCheck++](candidate)
    if (outcome !== undefined) return outcome
  }
  return undefined
}

function finish(candidate, outcome) {
  if (outcome !== undefined && outcome !== DONE) refuse(candidate, outcome)
}

/** Answers a request with a refusal, and then notifies the app. All refusals come through here. */
function refuse(candidate, reason) {
  const { engine, req, remoteAddress } = candidate
  const { code, context } = reason
  logRefusal(req, remoteAddress, reason)
  candidate.answerRefusal(reason)
  guarded(() => {
    engine.emit('connection_error', { req, code, message: MESSAGES[code], context })
  })
}

/** Emits `limit` for a refused request. */
function reportLimit({ engine, remoteAddress }, name, limit, value) {
  engine._onLimit({ name, limit, value, action: 'refused' }, { remoteAddress })
}

function checkIsOpen({ engine, isHandshake }) {
  return isHandshake && engine._refusesHandshakes ? shuttingDown() : undefined
}

/** Counts all requests that belong to no open session, except preflights. */
function checkHandshakeRate(candidate) {
  const { engine, sid, isPreflight, remoteAddress } = candidate
  if (sid !== undefined || isPreflight) return undefined
  const exceeded = engine._clientLimits.countHandshake(remoteAddress)
  if (exceeded === undefined) return undefined
  reportLimit(candidate, exceeded.name, exceeded.limit, exceeded.value)
  return tooFast()
}

function checkSessionCount(candidate) {
  const { engine, isHandshake, remoteAddress } = candidate
  if (!isHandshake) return undefined
  const exceeded = engine._clientLimits.checkSessions(remoteAddress)
  if (exceeded === undefined) return undefined
  reportLimit(candidate, exceeded.name, exceeded.limit, exceeded.value)
  return tooManySessions()
}

/** Where app code has to be asked, checks that the request may wait for it. */
function checkWaiting(candidate) {
  if (!hasToAskApp(candidate)) return undefined
  return checkPendingCount(candidate) ?? checkIsNoPreflight(candidate) ?? ASK_APP
}

function hasToAskApp({ engine, req }) {
  if (engine.middlewares.length > 0 || engine._origins.mayAsk(req)) return true
  if (namesSession(req)) return false
  return engine.opts.allowRequest !== undefined || !engine._hasDefaultIds
}

function checkPendingCount(candidate) {
  const { engine, sid, kind } = candidate
  const { _pending: pending, opts } = engine
  if (sid !== undefined) {
    if (!pending.isFull(sid, kind)) return undefined
    return refusal(ERRORS.BAD_REQUEST, { name: 'OVERLAP', sid })
  }
  const { maxPendingHandshakes: limit } = opts
  if (pending.handshakes < limit) return undefined
  reportLimit(candidate, 'maxPendingHandshakes', limit, pending.handshakes)
  return tooMany()
}

/** The package `cors` would answer an upgrade with the method OPTIONS, as a preflight. */
function checkIsNoPreflight({ req, isUpgrade }) {
  if (!isUpgrade || req.method !== 'OPTIONS') return undefined
  return refusal(ERRORS.BAD_HANDSHAKE_METHOD, { method: 'OPTIONS' })
}

function askMiddlewares(candidate) {
  const { engine, pending } = candidate
  if (engine.middlewares.length === 0) return undefined
  return pending
    .askMiddlewares(candidate.middlewareResponse())
    .then((outcome) => (candidate.isAnswered ? DONE : outcome))
}

function askOrigin(candidate) {
  const { engine, req, pending } = candidate
  if (!engine._origins.mayAsk(req) || checkProtocolAndOrigin(candidate) !== ASK) return undefined
  return pending.askOrigin()
}

function checkRequest(candidate) {
  const verdict = checkProtocolAndOrigin(candidate)
  if (typeof verdict !== 'number') return verdict
  candidate.verdict = verdict
  if (verdict < Verdict.Handshake) return undefined
  if (candidate.engine._refusesHandshakes) return shuttingDown()
  return verdict === Verdict.Overloaded ? refuseOverload(candidate) : undefined
}

/** A verdict of the native check, a refusal, or `ASK` before `allowedOrigins` has been asked. */
function checkProtocolAndOrigin(candidate) {
  const { engine, req, isUpgrade, sid } = candidate
  const verdict = checkNatively(candidate)
  if (precedesOrigin(verdict)) return explain(verdict, req)
  const opener = sid === undefined ? undefined : engine.clients[sid]?._handshakePage
  const refused = engine._origins.check(req, isUpgrade, opener)
  if (refused !== undefined) return refused
  return typeof verdict === 'number' ? verdict : explain(verdict, req)
}

function refuseOverload(candidate) {
  const { undelivered, unfinished } = native.stats()
  const { maxTotalReceiveQueue } = candidate.engine.opts
  reportLimit(candidate, 'maxTotalReceiveQueue', maxTotalReceiveQueue, undelivered + unfinished)
  return overloaded()
}

/** Requests of sessions go to their session here; what follows is for handshakes. */
function joinSession(candidate) {
  if (candidate.verdict >= Verdict.Handshake) return undefined
  candidate.join(candidate.engine.clients[candidate.req._query.sid])
  return DONE
}

function askAllowRequest({ engine, pending }) {
  return engine.opts.allowRequest === undefined ? undefined : pending.askAllowRequest()
}

function makeId(candidate) {
  const { engine, pending, req } = candidate
  if (!engine._hasDefaultIds) return pending.askId()
  candidate.id = engine.generateId(req)
  return undefined
}

/** The engine may have closed meanwhile, and another handshake may have the same id. */
function checkAfterWaiting({ engine, pending, id }) {
  if (pending === undefined) return undefined
  if (engine._refusesHandshakes) return shuttingDown()
  const error = checkId(id, engine.clients)
  return error === undefined ? undefined : idRefusal(error)
}

module.exports = { decide }
