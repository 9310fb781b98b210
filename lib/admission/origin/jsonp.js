'use strict'

// Which requests may poll with JSONP. A JSONP answer is a script, and a page of any website can load a
// script with the cookies of its user and read what the script hands over. CORS does not prevent this,
// and script tags send no Origin. So a request has to show that it comes from a page that may connect:
// by `Sec-Fetch-Site`, which no page can set, or by its Referer, which a page can only withhold.

const { warnOnce } = require('../../errors')
const { first, hostOf, isWeb } = require('./host')
const { isAt, parseOrigin } = require('./list')

/** Every browser's `User-Agent` begins with one of these, and pages cannot change that of a script tag. */
const BROWSER = /^\s*(?:Mozilla|Opera)\//i

/**
 * Whether a JSONP request without an Origin header may go on.
 * @param {import('./list').OriginList} list the origins that may connect
 */
function mayPollByScript(req, list) {
  const { referer, 'sec-fetch-site': site, 'user-agent': agent } = req.headers
  if (site === 'same-origin' || site === 'none') return true
  const page = originOf(referer)
  if (page !== undefined && list.has(page)) return true
  // A browser that sends `Sec-Fetch-Site` has compared the origins already.
  if (site !== undefined) return refuse()
  if (page !== undefined) return isOwn(page, req) || refuse()
  // Nothing tells the page. A program that is no browser can forge any header, and carries no user's cookies.
  return !BROWSER.test(agent ?? '') || refuse()
}

/** The origin of a URL; `undefined` if it has none. */
function originOf(url) {
  try {
    const { origin } = new URL(url)
    return origin === 'null' ? undefined : origin
  } catch {
    return undefined
  }
}

/** Whether a page was loaded from this server. A script tag cannot set `X-Forwarded-Host`. */
function isOwn(page, req) {
  const origin = parseOrigin(page)
  if (origin === undefined) return false
  const hosts = [hostOf(req), first(req.headers['x-forwarded-host'])]
  return isWeb(origin, req) && hosts.some((host) => host !== undefined && isAt(origin, host))
}

function refuse() {
  warnOnce(
    'jsonp',
    'UPWIRE_ORIGIN',
    "a JSONP request was refused, because it did not show that it comes from one of the server's own " +
      'pages or of allowedOrigins: see docs/protocol.md#jsonp',
  )
  return false
}

module.exports = { mayPollByScript }
