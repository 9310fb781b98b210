'use strict'

// Starts the I/O threads of this thread's Node environment, which all of its engines share.

const native = require('./binding')
const { setHotCalls } = require('./commands')
const { SHARED_LIMITS } = require('./contract')
const { deliver, deliverGroup } = require('./events')
const shared = require('./shared-state')
const { warnOnce } = require('../errors')

/** The options that the first engine decides for all engines of the environment. */
const SHARED_OPTIONS = ['ioThreads', ...Object.keys(SHARED_LIMITS)]

/** Starts the I/O threads, unless they run. */
function startThreads(options) {
  if (shared.started === undefined) {
    const { ioThreads, ...limits } = pick(options)
    native.start(ioThreads, JSON.stringify(limits), deliver)
    shared.started = { ioThreads, ...limits }
    shared.hot = native.hot(deliverGroup)
    shared.meta = shared.hot.meta
    shared.small = Buffer.from(shared.hot.small.buffer)
    shared.deliver = deliver
  }
  setHotCalls(shared.hot, shared.deliver)
  warnOfIgnored(options)
}

function pick(options) {
  return Object.fromEntries(SHARED_OPTIONS.map((name) => [name, options[name]]))
}

function warnOfIgnored(options) {
  for (const [name, value] of Object.entries(shared.started)) {
    if (options[name] === value) continue
    const text = `all engines of a thread share ${name}: ${options[name]} is ignored, ${value} is used`
    warnOnce(`shared ${name}`, 'UPWIRE_SHARED_OPTION', text)
  }
}

module.exports = { startThreads }
