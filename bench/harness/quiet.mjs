// Other work on the machine ruins a sample. Waiting for it to end is bounded: so many seconds in a whole run.

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

  /** Resolves when the machine has nothing to do, or patience is at an end. */
  async untilQuiet() {
    while (this.isLeft) {
      const before = busySeconds()
      await sleep(LOOK * 1000)
      if (busySeconds() - before < DISTURBING * LOOK) return
      this.#seconds -= LOOK
    }
  }

  /** Time spent on a sample that has to be taken again. */
  spend(seconds) {
    this.#seconds -= seconds
  }
}
