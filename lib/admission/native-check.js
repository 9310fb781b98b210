'use strict'

// The native check of a request (src/protocol/handshake.rs), and engine.io's contexts for its refusals.

const { revisionOf } = require('./query')
const { ERRORS, refusal } = require('./refusal')

/** For the log: nginx removes these headers unless it is configured to forward them. */
const LOST_UPGRADE =
  'it asks for WebSocket but is no upgrade: a proxy may have removed its Upgrade and Connection headers'

/**
 * @returns {import('../../native/binding').Verdict | import('../../native/binding').Refused} what the
 *   request asks for, or why it is refused
 */
function checkNatively({ engine, req, isUpgrade }) {
  const { transport, EIO, sid: named } = req._query
  const sid = stringOrNothing(named)
  const session = engine.clients[sid]
  return engine._native.verify(
    req.method,
    isUpgrade,
    stringOrNothing(transport),
    stringOrNothing(EIO),
    sid,
    session?._transportState.native,
    session?.protocol,
    req.headers.origin,
  )
}

function stringOrNothing(value) {
  return typeof value === 'string' ? value : undefined
}

/** Whether a native refusal takes precedence over the Origin rule's, as in engine.io. */
function precedesOrigin({ code, name }) {
  return code === ERRORS.UNKNOWN_TRANSPORT || name === 'INVALID_ORIGIN'
}

/** A native refusal, with the context that engine.io gives it. */
function explain({ code, name, previousTransport, isMethod }, req) {
  const { transport, sid } = req._query
  const protocol = revisionOf(req)
  if (isMethod) {
    return refusal(code, { method: req.method }, { status: 405, headers: { Allow: 'GET, POST' } })
  }
  const contexts = {
    [ERRORS.UNKNOWN_TRANSPORT]: { transport },
    [ERRORS.UNKNOWN_SID]: { sid },
    [ERRORS.BAD_HANDSHAKE_METHOD]: { method: req.method },
    [ERRORS.UNSUPPORTED_PROTOCOL_VERSION]: { protocol },
  }
  const named = {
    INVALID_ORIGIN: { name, origin: req.headers.origin },
    TRANSPORT_MISMATCH: { name, transport, previousTransport },
    PROTOCOL_MISMATCH: { name, protocol, previousProtocol: protocol === 4 ? 3 : 4 },
    TRANSPORT_HANDSHAKE_ERROR: { name },
  }
  const isLost = name !== undefined && transport === 'websocket' && !req.headers.upgrade
  const hint = isLost ? LOST_UPGRADE : undefined
  return refusal(code, name ? named[name] : contexts[code], { hint })
}

module.exports = { checkNatively, explain, precedesOrigin }
