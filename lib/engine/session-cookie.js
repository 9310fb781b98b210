'use strict'

// The option `cookie`: the first answer of a session sets a cookie with the session's id, by which
// load balancers can route its later requests to the same process.

const { serialize } = require('cookie')
const { invalid } = require('../errors')

/** What serializes with a valid id, to find out whether options are valid. */
const PROBE = 'id'

/** Checks the option. `true` and an object are engine.io's; the name defaults to `io`. */
function cookie(name, value) {
  if (value !== true && (value === null || typeof value !== 'object' || Array.isArray(value))) {
    throw invalid(name, value, 'a boolean, or options of the package cookie with a name')
  }
  const given = value === true ? {} : value
  const options = {
    name: 'io',
    path: '/',
    httpOnly: true,
    sameSite: 'lax',
    ...given,
  }
  try {
    serialize(options.name, PROBE, options)
  } catch (error) {
    throw invalid(name, value, `options of the package cookie (${error.message})`)
  }
  return options
}

/** Adds the cookie of a session to the headers of its first answer, beside cookies of the app. */
function addSessionCookie(headers, { name, ...options }, id) {
  const key = Object.keys(headers).find((each) => each.toLowerCase() === 'set-cookie')
  const present = key === undefined ? [] : [headers[key]].flat()
  headers[key ?? 'Set-Cookie'] = [...present, serialize(name, id, options)]
}

module.exports = { addSessionCookie, cookie }
