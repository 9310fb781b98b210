// What was found, kept beside each project, so that a run that was cut off goes on where it was.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sources } from './shapes.mjs'

/** To be raised when a check is made stricter. */
const HARNESS = 1

export class Results {
  #file
  #all
  #upwire

  constructor(project, upwire) {
    this.#file = join(project, 'results.json')
    this.#all = existsSync(this.#file) ? JSON.parse(readFileSync(this.#file, 'utf8')) : {}
    this.#upwire = upwire.hash
  }

  /** The result of that very cell with that very upwire. */
  get(cell) {
    const result = this.#all[cell.name]
    return result?.key === this.#key(cell) ? result : undefined
  }

  set(cell, result) {
    this.#all[cell.name] = { key: this.#key(cell), ...result }
    writeFileSync(this.#file, `${JSON.stringify(this.#all, null, 2)}\n`)
  }

  #key(cell) {
    const parts = [HARNESS, this.#upwire, sources(cell), cell.shape.server?.(cell)]
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
  }
}
