'use strict'

// The Origin rule: which pages may use the engine. Browsers let any page open a WebSocket, with the
// user's cookies, and expect the server to check the Origin.
//
// The rule is in JavaScript because the app's regular expressions and functions are, and because passing
// a header to the native side costs as much as comparing it.

const { corsMiddleware, hasFunction, originsOf } = require('./cors')
const { mayPollByScript } = require('./jsonp')
const { warn, warnOnce } = require('../../errors')
const { TrustedProxies } = require('../client-address')
const { jsonpIndex } = require('../query')
const { first, hostOf, isWeb, last } = require('./host')
const { OriginList, isAt, isOrigin, isSame, parseHeader } = require('./list')
const { isRenderWorker } = require('../../environment/render-workers')
const { ERRORS, refusal } = require('../refusal')

/** `check` needs the answer of `allowedOrigins` first: see `ask`. */
const ASK = Symbol('ask')

/** How many pairs of a refused origin and a host get a warning, each one once. */
const MAX_WARNED = 16
/** How many characters of a header appear in a warning. */
const MAX_SHOWN = 200

class OriginRule {
  #list
  /** `allowedOrigins`, if it is a function. */
  #isAllowed
  /** The app's answers by request: entries for an `OriginList`, and an error. */
  #answers = new WeakMap()
  #cors
  /** Whether the functions in `cors` decide which origins are allowed. */
  #doesCorsDecide
  #isRequired
  /** The proxies whose headers are believed even where a page could have set them. */
  #proxies
  /** The pairs of origin and host that have got a warning. */
  #warned = new Set()

  constructor({ allowedOrigins, cors, requireOrigin, trustProxy }) {
    this.#cors = cors
    this.#proxies = trustProxy.length > 0 ? new TrustedProxies(trustProxy) : undefined
    this.#isRequired = requireOrigin
    this.#doesCorsDecide = allowedOrigins === undefined && Boolean(cors) && hasFunction(cors)
    if (typeof allowedOrigins === 'function') this.#isAllowed = allowedOrigins
    const isAppAsked = this.#doesCorsDecide || this.#isAllowed !== undefined
    this.#list = new OriginList(isAppAsked ? [] : (allowedOrigins ?? originsOf(cors)))
    const isOpenToAny = cors?.credentials === true && new OriginList(originsOf(cors)).isAny
    if (this.#list.isAny && isOpenToAny) {
      warnOnce(
        'cors.credentials',
        'UPWIRE_ORIGIN',
        'cors.origin allows any page, with credentials: every website that one of your users visits ' +
          'can act as that user; list the origins that may connect',
      )
    }
  }

  /** The middleware that sets the headers of CORS. */
  cors() {
    const remember = (req, origins, error) => this.#answers.set(req, { origins, error })
    return corsMiddleware(this.#cors, this.#doesCorsDecide ? remember : undefined)
  }

  /** Whether `allowedOrigins` may have to be asked about a request. */
  mayAsk(req) {
    return this.#isAllowed !== undefined && req.headers.origin !== undefined
  }

  /**
   * Returns `undefined` for a request that may go on, a refusal, or `ASK`.
   * @param {string | undefined} opener the `handshakePage` of the session that the request names
   */
  check(req, isUpgrade, opener) {
    // A preflight has no effect but its answer, and `cors` gives that.
    if (req.method === 'OPTIONS' && !isUpgrade) return undefined
    const { origin } = req.headers
    if (origin === undefined) return this.#checkWithout(req, isUpgrade)
    if (this.#list.isAny) return undefined
    const answer = this.#answers.get(req)
    // Node joins the values of several headers with commas.
    if (!origin.includes(',')) {
      if (this.#isSameOrigin(req, isUpgrade) || this.#list.has(origin)) return undefined
      if (knowsSid(req, opener)) return undefined
      if (this.#mustAsk(req)) return ASK
      if (new OriginList(answer?.origins).has(origin)) return undefined
      if (!isUpgrade && isHostHidden(req) && !maySetHeaders(req)) return undefined
    }
    // Without a host there is nothing to compare with; the check of the opening handshake refuses it.
    if (isUpgrade && hostOf(req) === undefined) return undefined
    this.#warn(req, isUpgrade)
    return notAllowed(req, answer?.error && { error: answer.error })
  }

  #checkWithout(req, isUpgrade) {
    if (isUpgrade) return this.#isRequired ? required(req) : undefined
    if (this.#list.isAny) return undefined
    if (jsonpIndex(req) !== undefined)
      return mayPollByScript(req, this.#list) ? undefined : notAllowed(req)
    const site = req.headers['sec-fetch-site']
    const isOwn = site === undefined || site === 'same-origin' || site === 'none'
    return isOwn ? undefined : notAllowed(req)
  }

  /** Whether a page was loaded from this server, according to the headers of the browser or of a proxy. */
  #isSameOrigin(req, isUpgrade) {
    const { headers } = req
    // The browser has compared the origin with the address that the user sees; no script can set this header.
    if (headers['sec-fetch-site'] === 'same-origin') return true
    const origin = parseHeader(headers.origin)
    if (origin === undefined || !isWeb(origin, req)) return false
    const host = hostOf(req)
    if (host !== undefined && isAt(origin, host)) return true
    const forwarded = this.#forwardedHost(req, isUpgrade)
    return forwarded !== undefined && isAt(origin, forwarded)
  }

  /** The host that a proxy has forwarded, unless the page may have written it. */
  #forwardedHost(req, isUpgrade) {
    const { headers, socket } = req
    let entry = first
    if (!isUpgrade && maySetHeaders(req)) {
      // The page's entries come before those of the proxy.
      if (!this.#proxies?.trusts(socket?.remoteAddress)) return undefined
      entry = last
    }
    const host = entry(headers['x-forwarded-host'])
    const port = entry(headers['x-forwarded-port'])
    const isComplete = host === undefined || !port || /:\d+$/.test(host)
    return isComplete ? host : `${host}:${port}`
  }

  #mustAsk(req) {
    return this.#isAllowed !== undefined && !this.#answers.has(req)
  }

  /** Asks `allowedOrigins`, and keeps the answer for `check`. Rejects with the error that it throws. */
  async ask(req) {
    const isAllowed = this.#isAllowed
    const answer = await isAllowed(req.headers.origin, req)
    this.#answers.set(req, { origins: Boolean(answer) })
  }

  /** Warns about the first refusal of an origin at a host: most likely a setting is wrong. */
  #warn(req, isUpgrade) {
    const origin = shown(req.headers.origin)
    const pair = `${origin} ${shown(hostOf(req))}`
    if (this.#warned.has(pair) || this.#warned.size >= MAX_WARNED) return
    this.#warned.add(pair)
    warn('UPWIRE_ORIGIN', adviceFor(req, isUpgrade, origin))
  }
}

/** The text of the warning: what was compared, and which settings may help. */
function adviceFor(req, isUpgrade, origin) {
  const { headers, _query } = req
  const host = shown(hostOf(req))
  const forwarded = shown(headers['x-forwarded-host'])
  const sentences = [
    `a ${isUpgrade ? 'WebSocket' : 'request'} from a page of ${origin} was refused: this origin is ` +
      `neither the server's own (Host ${host}, X-Forwarded-Host ${forwarded}) nor an allowed one`,
    'If the page was loaded through your proxy, let the proxy forward the Host header ' +
      '(nginx: proxy_set_header Host $http_host; Vite: changeOrigin: false)',
  ]
  // Any page can get the origin `null`, in a sandboxed frame.
  if (isOrigin(headers.origin) && headers.origin !== 'null') {
    sentences.push(`If this origin may connect, set allowedOrigins: [${origin}]`)
  }
  if (isUpgrade && _query.sid) {
    sentences.push(
      "This was a session's upgrade: the session will stay on polling, and nothing else reports that",
    )
  }
  return sentences.join('. ')
}

/**
 * The page that has opened a session, as its polling handshake names it; '' if it names none. `undefined`
 * for a session whose id proves nothing, because a page of another site may know it: the answer to a JSONP
 * handshake is a script that any page can load, the app's own ids may be easy to guess, and socket.io shows
 * the ids of version 3 of the protocol to other clients.
 */
function handshakePage({ headers, _query }, hasDefaultId) {
  if (!hasDefaultId || _query.EIO !== '4' || _query.j !== undefined) return undefined
  return headers.origin ?? headers.referer ?? ''
}

/**
 * Whether a page shows that it belongs to the server by the id of its session. It has read the id in the
 * answer to the handshake, which a browser lets only pages of the same origin read, and those that CORS
 * allows. A proxy that replaces `Host` thus does not keep its sessions on polling.
 */
function knowsSid({ headers }, opener) {
  // Browsers that send this header have compared the origins themselves.
  if (opener === undefined || headers['sec-fetch-site'] !== undefined) return false
  return opener === '' || isSame(opener, headers.origin)
}

/**
 * Whether CORS lets the page set headers, which could include `X-Forwarded-Host`. Without CORS, and on a
 * WebSocket, no page can set it, so that it can be believed without a list of proxies.
 */
function maySetHeaders({ headers, res }) {
  const granted = res?.getHeader('access-control-allow-origin')
  return granted === '*' || granted === headers.origin
}

/**
 * Whether the request lacks the host name that the user sees: Next.js 13.4 forwards polls without it to
 * the process that runs the app. A page that CORS does not allow cannot read the answer of such a poll, so
 * it never learns a session id.
 */
function isHostHidden({ headers, socket }) {
  const [, port] = /^(?:localhost|127\.0\.0\.1|\[::1\]):(\d+)$/.exec(headers.host) ?? []
  return isRenderWorker() && Number(port) === socket.localPort
}

function shown(text) {
  if (text === undefined) return 'none'
  return JSON.stringify(text.slice(0, MAX_SHOWN)).replace(/[\x7f-\x9f]/g, escaped)
}

/** Terminals interpret these characters as commands. */
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

module.exports = { ASK, OriginRule, handshakePage, notAllowed }
