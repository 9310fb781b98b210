'use strict'

// The Origin rule: which pages may talk to the engine. Browsers let any page open a WebSocket, with
// the cookies of whoever looks at it, and leave it to the server to read where it comes from.
//
// It is here, and not beside the native checks, because expressions and functions of the app are
// here, and because to hand a header over costs as much as to compare it.

const { corsMiddleware, isAsked, originsOf } = require('./cors')
const { warn, warnOnce } = require('../../errors')
const { OriginList, isAt, isOrigin, parseLoosely } = require('./list')
const { isRenderWorker } = require('../../environment/render-workers')
const { ERRORS, refusal } = require('../refusal')

/** The app has to be asked, see `ask`. */
const ASK = Symbol('ask')

/** Refused origins that are remembered, so that each is told of once; later ones are not told. */
const MOST_WARNED = 16
/** A peer may send more than belongs into a log. */
const MOST_SHOWN = 200

class OriginRule {
  #list
  /** The function in `allowedOrigins`. */
  #question
  /** What the app has answered, by request: anything that a list takes, and an error. */
  #answers = new WeakMap()
  #cors
  #isCorsHeard
  #isRequired
  #warned = new Set()

  constructor({ allowedOrigins, cors, requireOrigin }) {
    this.#cors = cors
    this.#isRequired = requireOrigin
    this.#isCorsHeard = allowedOrigins === undefined && Boolean(cors) && isAsked(cors)
    if (typeof allowedOrigins === 'function') this.#question = allowedOrigins
    const isAsking = this.#isCorsHeard || this.#question !== undefined
    this.#list = new OriginList(isAsking ? [] : (allowedOrigins ?? originsOf(cors)))
    const isAnyRead = cors?.credentials === true && new OriginList(originsOf(cors)).isAny
    if (this.#list.isAny && isAnyRead) {
      warnOnce(
        'cors.credentials',
        'UPWIRE_ORIGIN',
        'cors.origin allows any page, with credentials: every website can act as a user of yours ' +
          'who visits it; list the origins that may',
      )
    }
  }

  /** The middleware for the headers. */
  cors() {
    const hear = (req, origins, error) => this.#answers.set(req, { origins, error })
    return corsMiddleware(this.#cors, this.#isCorsHeard ? hear : undefined)
  }

  /** Whether the app may have to be asked about a request. */
  mayAsk(req) {
    return this.#question !== undefined && req.headers.origin !== undefined
  }

  /** `undefined` for a request that may go on, a refusal, or `ASK`. */
  check(req, isUpgrade) {
    // A preflight has no effect but its answer, which is for `cors` to give.
    if (req.method === 'OPTIONS' && !isUpgrade) return undefined
    const { origin } = req.headers
    if (origin === undefined) return this.#checkWithout(req, isUpgrade)
    if (this.#list.isAny) return undefined
    const answer = this.#answers.get(req)
    // Node joins the values of several headers with commas.
    if (!origin.includes(',')) {
      if (isSameOrigin(req, isUpgrade) || this.#list.has(origin)) return undefined
      if (this.#mustAsk(req)) return ASK
      if (new OriginList(answer?.origins).has(origin)) return undefined
      if (!isUpgrade && isHostHidden(req) && !maySetHeaders(req)) return undefined
    }
    // There is nothing to compare with; the checks of an upgrade say so.
    if (isUpgrade && hostOf(req) === undefined) return undefined
    this.#warn(req, isUpgrade)
    return notAllowed(req, answer?.error && { error: answer.error })
  }

  #checkWithout(req, isUpgrade) {
    if (isUpgrade) return this.#isRequired ? required(req) : undefined
    const site = req.headers['sec-fetch-site']
    const isOwn = site === undefined || site === 'same-origin' || site === 'none'
    return isOwn || this.#list.isAny ? undefined : notAllowed(req)
  }

  #mustAsk(req) {
    return this.#question !== undefined && !this.#answers.has(req)
  }

  /** Asks the app; `check` knows the answer afterwards. Rejects with what its function throws. */
  async ask(req) {
    const question = this.#question
    const answer = await question(req.headers.origin, req)
    this.#answers.set(req, { origins: Boolean(answer) })
  }

  /** The first refusal of an origin is most likely a wrong setting. */
  #warn(req, isUpgrade) {
    const origin = shown(req.headers.origin)
    if (this.#warned.has(origin) || this.#warned.size >= MOST_WARNED) return
    this.#warned.add(origin)
    warn('UPWIRE_ORIGIN', cure(req, isUpgrade, origin))
  }
}

function cure(req, isUpgrade, origin) {
  const { headers, _query } = req
  const host = shown(hostOf(req))
  const forwarded = shown(headers['x-forwarded-host'])
  const sentences = [
    `a ${isUpgrade ? 'WebSocket' : 'request'} of a page from ${origin} was refused: that is neither ` +
      `this server (Host ${host}, X-Forwarded-Host ${forwarded}) nor allowed`,
    'If the page is behind a proxy of yours, let the proxy pass the Host header on ' +
      '(nginx: proxy_set_header Host $http_host)',
  ]
  // Any page can have the Origin `null`, in a frame of its own.
  if (isOrigin(headers.origin) && headers.origin !== 'null') {
    sentences.push(`If it may connect from elsewhere, set allowedOrigins: [${origin}]`)
  }
  if (isUpgrade && _query.sid) {
    sentences.push('This was the upgrade of a session, which would stay on polling unnoticed')
  }
  return sentences.join('. ')
}

/** Whether a page comes from where the request goes to, as far as the browser or a proxy tells. */
function isSameOrigin(req, isUpgrade) {
  const { headers } = req
  // Browsers compare with the address that the user sees, and no script can set this header.
  if (headers['sec-fetch-site'] === 'same-origin') return true
  const origin = parseLoosely(headers.origin)
  if (origin === undefined || !isWeb(origin, req)) return false
  const host = hostOf(req)
  if (host !== undefined && isAt(origin, host)) return true
  if (!isUpgrade && maySetHeaders(req)) return false
  const forwarded = first(headers['x-forwarded-host'])
  if (forwarded === undefined) return false
  const port = first(headers['x-forwarded-port'])
  const hasPort = /:\d+$/.test(forwarded)
  return isAt(origin, hasPort || !port ? forwarded : `${forwarded}:${port}`)
}

/**
 * Whether CORS lets the page set headers, `X-Forwarded-Host` among them. No page can on a WebSocket,
 * nor elsewhere without CORS; so a proxy need not be known to be believed.
 */
function maySetHeaders({ headers, res }) {
  const granted = res?.getHeader('access-control-allow-origin')
  return granted === '*' || granted === headers.origin
}

/**
 * Next.js 13.4 passes polls on to the process that runs the app without the name that the user sees. A
 * page that CORS does not let in reads no answer, knows no session, and so can do nothing with one.
 */
function isHostHidden({ headers, socket }) {
  const [, port] = /^(?:localhost|127\.0\.0\.1|\[::1\]):(\d+)$/.exec(headers.host) ?? []
  return isRenderWorker() && Number(port) === socket.localPort
}

/** TLS may end at a proxy, so https is right on a plain connection; http on a TLS one is not. */
function isWeb({ scheme }, req) {
  return scheme === 'https' || (scheme === 'http' && !req.socket?.encrypted)
}

function hostOf({ headers }) {
  return headers.host ?? headers[':authority']
}

function first(list) {
  return list?.split(',', 1)[0].trim()
}

function shown(text) {
  if (text === undefined) return 'none'
  return JSON.stringify(text.slice(0, MOST_SHOWN)).replace(/[\x7f-\x9f]/g, escaped)
}

/** Terminals take such characters for commands. */
function escaped(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function notAllowed(req, more) {
  return forbidden('ORIGIN_NOT_ALLOWED', 'Origin not allowed', req, more)
}

function required(req) {
  return forbidden('ORIGIN_REQUIRED', 'Origin required', req)
}

function forbidden(name, message, req, more) {
  const { origin } = req.headers
  return refusal(ERRORS.FORBIDDEN, { name, message, origin, host: hostOf(req), ...more })
}

module.exports = { ASK, OriginRule, notAllowed }
