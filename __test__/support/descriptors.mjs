// The descriptors of this process (Linux).

import { readdirSync, readlinkSync } from 'node:fs'

const LIST = '/proc/self/fd'

/** The number and target of each open descriptor. */
export function descriptors() {
  const open = new Map()
  for (const number of readdirSync(LIST)) {
    try {
      open.set(number, readlinkSync(`${LIST}/${number}`))
    } catch {
      // The descriptor that the directory was read with.
    }
  }
  return open
}

/** The descriptors that are open now and were not before. */
export function opened(before, now = descriptors()) {
  return [...now].filter(([number, target]) => before.get(number) !== target)
}
