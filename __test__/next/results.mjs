// Stores the results beside each project, so that an interrupted run can continue.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sources } from './shapes.mjs'

/** Increase it when a check becomes stricter: results from before are then ignored. */
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

  /** The result of a cell, if the cell and upwire are unchanged since. */
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
