import { readdirSync } from 'node:fs'

/** The resources that this process holds. */
export function holdings() {
  const { rss, heapTotal } = process.memoryUsage()
  return {
    rss,
    heapTotal,
    descriptors: readdirSync('/proc/self/fd').length,
  }
}
