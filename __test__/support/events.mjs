// Waiting for what a test expects, with a limit after which it fails.

/** Milliseconds after which something that should happen is taken for missing. */
export const PATIENCE = 5000

/** How much longer all takes than on the machine alone: under a sanitizer. */
const SLOWDOWN = Number(process.env.UPWIRE_SLOWDOWN ?? 1)

/** The promise's value, or a failure that names what did not come. */
export async function within(promise, what, ms = PATIENCE) {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms * SLOWDOWN)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The arguments of the next such event. */
export function event(emitter, name, ms = PATIENCE) {
  const arrival = new Promise((resolve) => emitter.once(name, (...args) => resolve(args)))
  return within(arrival, `event "${name}"`, ms)
}

/** Waits until a condition holds and gives its value; `what` may tell what was seen instead. */
export async function until(condition, what, ms = PATIENCE) {
  const end = performance.now() + ms * SLOWDOWN
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > end) {
      throw new Error(`${typeof what === 'function' ? what() : what}: not within ${ms} ms`)
    }
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** All events of a name from now on, as an array of their arguments that grows. */
export function gather(emitter, name) {
  const gathered = []
  emitter.on(name, (...args) => gathered.push(args))
  return gathered
}

/** A promise and what settles it. */
export function deferred() {
  let resolve
  let reject
  const promise = new Promise((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** Lets the event loop turn so many times. */
export async function turns(count) {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Lets time pass, where its passing is what is tested; never to wait for something to be done. */
export function elapse(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** The messages of uncaught errors, as an array that grows: for the rest of a test the runner hears of none. */
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
