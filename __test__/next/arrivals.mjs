// Clients that come while the server boots.

import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { connected } from './client.mjs'
import { isOpen } from './process.mjs'

/** From one new client to the next. */
const INTERVAL = 50
/** Whoever was refused longer ago may pause for seconds by its own choice. */
const BEFORE = 250
/** Until then after the port was open the app may still be loading. */
const AFTER = 750
const PATIENCE = 3_000

/** Begins at once. `done` resolves when all that count are connected. */
export class Arrivals {
  constructor(clients, port, signal) {
    this.done = this.#run(clients, port, signal)
    this.done.catch(() => {})
  }

  async #run(clients, port, signal) {
    const all = []
    let open
    while (open === undefined || performance.now() < open + AFTER) {
      signal.throwIfAborted()
      all.push({ socket: clients.open({ transports: ['websocket'] }), began: performance.now() })
      await delay(INTERVAL)
      if (open === undefined && (await isOpen(port))) open = performance.now()
    }
    const early = all.filter(({ began }) => began < open - BEFORE)
    for (const { socket } of early) clients.close(socket)
    const counted = all.filter((client) => !early.includes(client))
    const times = await Promise.all(counted.map((client) => arrive(client, open)))
    const late = times.filter((time) => time > PATIENCE)
    for (const { socket } of counted) clients.close(socket)
    if (late.length > 0) {
      const worst = Math.round(Math.max(...late))
      return `${late.length} of ${times.length} clients late, up to ${worst} ms`
    }
  }
}

/** How long after it could be served at the earliest a client was connected. */
async function arrive({ socket, began }, open) {
  await connected(socket, 30_000)
  return performance.now() - Math.max(began, open)
}
