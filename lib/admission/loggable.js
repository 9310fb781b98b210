'use strict'

// Refused requests as debug logs show them: short, on one line, and without possible secrets.

const { inspect } = require('node:util')
const { handshake: log } = require('../debug')
const { MESSAGES } = require('./refusal')

const MAX_LENGTH = 200
/** The parameters whose values are shown; others may be session ids or tokens. */
const SHOWN = ['EIO', 'transport']

/**
 * Logs a refused request or upgrade.
 * @param {import('node:http').IncomingMessage} req
 * @param {string | undefined} remoteAddress
 * @param {import('./refusal').Refusal} reason
 */
function logRefusal(req, remoteAddress, reason) {
  if (!log.enabled) return
  const [url, why] = [loggableUrl(req.url), loggableReason(reason)]
  log('refused %s %s from %s with %d: %s', req.method, url, remoteAddress, reason.status, why)
}

/** A URL without the values of its query. */
function loggableUrl(url) {
  const [path, query] = String(url).split(/\?(.*)/s, 2)
  const pairs = query?.split('&').map((pair) => {
    const [name] = pair.split('=', 1)
    return SHOWN.includes(name) || !pair.includes('=') ? pair : `${name}=…`
  })
  return oneLine(pairs === undefined ? path : `${path}?${pairs.join('&')}`)
}

/**
 * The code of a refusal, its message, and what is known beyond that.
 * @param {import('./refusal').Refusal} reason
 */
function loggableReason({ code, context = {}, hint }) {
  const { name, message, origin, error } = context
  const cause = error instanceof Error ? error.message : error
  const details = [name, message, hint, origin, cause].filter((detail) => detail !== undefined)
  return oneLine([`code ${code} (${MESSAGES[code]})`, ...details.map(textOf)].join(', '))
}

/** The app may give anything as message or error. */
function textOf(value) {
  return typeof value === 'string' ? value : inspect(value, { depth: 0 })
}

function oneLine(text) {
  const short = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text
  return short.replace(/[\x00-\x1f\x7f-\x9f]/g, '?')
}

module.exports = { logRefusal }
