// Checks at the end of a test file that nothing is left that keeps the process alive.

import { after } from 'node:test'
import { until } from './events.mjs'

const LEFTOVERS = new Set(['TCPSocketWrap', 'TCPServerWrap', 'TLSWrap', 'Timeout', 'Immediate'])

function leftovers() {
  return process.getActiveResourcesInfo().filter((name) => LEFTOVERS.has(name))
}

after(async () => {
  try {
    await until(() => leftovers().length === 0, 'all handles to be closed', 4000)
  } catch (error) {
    error.message += `; left: ${leftovers()}`
    // The leftovers would keep the file from ending.
    setTimeout(() => process.exit(1), 500).unref()
    throw error
  }
})
