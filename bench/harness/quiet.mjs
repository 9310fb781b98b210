// Other work on the machine ruins a sample. The bench waits for it to end, for a limited number of
// seconds per run.

import { setTimeout as sleep } from 'node:timers/promises'

import { busySeconds, DISTURBING } from './machine.mjs'

const LOOK = 0.4

export class Patience {
  #seconds

  constructor(seconds) {
    this.#seconds = seconds
  }

  get isLeft() {
    return this.#seconds > 0
  }

  /** Resolves when the machine is idle or patience has run out. */
  async untilQuiet() {
    while (this.isLeft) {
      const before = busySeconds()
      await sleep(LOOK * 1000)
      if (busySeconds() - before < DISTURBING * LOOK) return
      this.#seconds -= LOOK
    }
  }

  /** Subtracts the time of a sample that must be repeated. */
  spend(seconds) {
    this.#seconds -= seconds
  }
}
