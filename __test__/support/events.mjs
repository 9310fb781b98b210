// Waiting for events and conditions, with a limit after which the test fails.

/** Milliseconds after which an expected event counts as missing. */
export const PATIENCE = 5000

/** How much slower everything is than on the machine alone, for instance under a sanitizer. */
const SLOWDOWN = Number(process.env.UPWIRE_SLOWDOWN ?? 1)

/**
 * What a wait is for: a phrase for its error ("the session to close"), the error itself, or a
 * function that gives either when the wait has failed.
 * @typedef {string | Error | (() => string | Error)} Awaited
 */

/** The value of a promise, or an error once it took too long. */
export async function within(promise, what, ms = PATIENCE) {
  if (ms === Number.POSITIVE_INFINITY) return promise
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(lateness(what, ms)), ms * SLOWDOWN)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Waits until a condition holds, and returns its value. Prefer an event where there is one. */
export async function until(condition, what, ms = PATIENCE) {
  const end = performance.now() + ms * SLOWDOWN
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > end) throw lateness(what, ms)
    await elapse(2)
  }
}

function lateness(what, ms) {
  const given = typeof what === 'function' ? what() : what
  return given instanceof Error ? given : new Error(`waited ${ms} ms for ${given}`)
}

/** The arguments of the next event of this name. */
export function event(emitter, name, ms = PATIENCE) {
  const arrival = new Promise((resolve) => emitter.once(name, (...args) => resolve(args)))
  return within(arrival, `event "${name}"`, ms)
}

/** All events of a name from now on, as a growing array of their arguments. */
export function gather(emitter, name) {
  const gathered = []
  emitter.on(name, (...args) => gathered.push(args))
  return gathered
}

/** A promise with the functions that settle it. */
export function deferred() {
  let resolve
  let reject
  const promise = new Promise((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** Lets the event loop turn this many times. */
export async function turns(count) {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Lets time pass, for tests of time itself; never to wait until something has happened. */
export function elapse(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * The messages of uncaught errors, as a growing array. Until the end of the test, they do not reach
 * the test runner.
 */
export function uncaughtErrors(t) {
  const before = process.listeners('uncaughtException')
  const errors = []
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => errors.push(error.message))
  t.after(() => {
    process.removeAllListeners('uncaughtException')
    for (const listener of before) process.on('uncaughtException', listener)
  })
  return errors
}
