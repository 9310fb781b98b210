// Transfers the memory of received messages to a worker, as an app may, and keeps others to check
// that they stay intact. The worker runs this module too.

import { once } from 'node:events'
import { isMainThread, parentPort } from 'node:worker_threads'
import { crc32 } from 'node:zlib'

/** The number of messages that are kept for a later check. */
const KEPT = 64

export class Transfers {
  counts = { given: 0, refused: 0, kept: 0 }
  #worker
  #random
  #complain
  #kept = []

  constructor(worker, random, complain) {
    this.#worker = worker
    this.#random = random.stream('transfers')
    this.#complain = complain
    worker.on('message', (text) => complain(text))
    worker.on('error', (error) => complain(`worker: ${error.message}`))
  }

  /** Takes a message that its handler no longer needs. */
  take(bytes) {
    const choice = this.#random.next()
    if (choice < 0.3) this.#give(bytes)
    else if (choice < 0.5) this.#keep(bytes)
  }

  #give(bytes) {
    const sum = crc32(bytes)
    const { buffer } = bytes
    try {
      this.#worker.postMessage({ bytes, sum }, [buffer])
      this.counts.given++
    } catch (error) {
      // Memory from outside V8 may not be transferable; then it must stay as it is.
      if (error.name !== 'DataCloneError') throw error
      this.counts.refused++
      if (crc32(bytes) !== sum) this.#complain('a message that was not transferred has changed')
    }
  }

  #keep(bytes) {
    this.counts.kept++
    this.#kept.push({ bytes, length: bytes.length, sum: crc32(bytes) })
    if (this.#kept.length > KEPT) this.#examine(this.#kept.shift())
  }

  #examine({ bytes, length, sum }) {
    if (bytes.length !== length) this.#complain(`a message of ${length} bytes is gone`)
    else if (crc32(bytes) !== sum) this.#complain(`a message of ${length} bytes has changed`)
  }

  /** Checks every kept message. */
  check() {
    for (const message of this.#kept.splice(0)) this.#examine(message)
  }

  async end() {
    this.#worker.postMessage(null)
    await once(this.#worker, 'exit')
  }
}

if (!isMainThread) {
  parentPort.on('message', (message) => {
    if (message === null) return parentPort.close()
    const { bytes, sum } = message
    if (crc32(bytes) !== sum) parentPort.postMessage('a message has changed on its way to a worker')
  })
}
