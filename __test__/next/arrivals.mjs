// Clients that connect while the server boots.

import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { connected } from './client.mjs'
import { isOpen } from '../support/ports.mjs'

/** Milliseconds from one new client to the next. */
const INTERVAL = 25
/** Clients that began earlier than this before the port opened do not count: they may pause for seconds. */
const BEFORE = 250
/** Milliseconds after the port opened in which the app may still be loading. */
const AFTER = 750
/** Milliseconds that a client may take from the moment at which the app could serve it. */
const PATIENCE = 3_000
/** Longer than a client waits for the answer to a lost upgrade. */
const GIVE_UP = 30_000

/** Opens clients from now on. `done` resolves when all that count are connected. */
export class Arrivals {
  constructor(clients, port, server, signal) {
    this.done = this.#run(clients, port, server, signal)
    this.done.catch(() => {})
  }

  async #run(clients, port, server, signal) {
    const all = []
    const registered = server.says(/> registered/, GIVE_UP).then(() => performance.now())
    registered.catch(() => {})
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
    const times = await Promise.all(counted.map((client) => arrive(client, registered)))
    for (const { socket } of counted) clients.close(socket)
    const late = counted.flatMap(({ began }, index) =>
      times[index] > PATIENCE ? [`${Math.round(times[index])} (${Math.round(began - open)})`] : [],
    )
    if (late.length > 0) {
      const which = `after ${late.join(', ')} ms (begun so long after the port was open)`
      return `${late.length} of ${counted.length} clients connected ${which}`
    }
  }
}

/** Milliseconds from the moment at which a client could be served until it was connected. */
async function arrive({ socket, began }, registered) {
  await connected(socket, GIVE_UP)
  const time = performance.now()
  return time - Math.max(began, await registered)
}
