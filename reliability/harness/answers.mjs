// The server's side of server-child.mjs.

import { readdirSync } from 'node:fs'

/** Runs operations for the runner, and ends when the runner does. */
export function answer(operations) {
  process.on('message', async ({ id, operation, options }) => {
    try {
      process.send({ id, result: await operations[operation](options) })
    } catch (error) {
      process.send({ id, error: String(error?.stack ?? error) })
    }
  })
  process.on('disconnect', () => process.exit(0))
}

/** The resources that a process holds. */
export function holdings() {
  const { rss, heapTotal } = process.memoryUsage()
  return {
    rss,
    heapTotal,
    descriptors: readdirSync('/proc/self/fd').length,
  }
}
