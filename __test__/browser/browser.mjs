// Chromium for the tests of this folder, or the reason why they are skipped.

import { chromium } from 'playwright-core'
import { findChromium, howToGet } from '../../scripts/chromium.mjs'

const executablePath = findChromium()
const required = process.env.UPWIRE_REQUIRE_BROWSER === '1'

/** For node:test's `skip` option. With UPWIRE_REQUIRE_BROWSER=1 the tests fail instead. */
export const skip =
  !executablePath && !required && `browser tests skipped: no Chromium; to run them, ${howToGet}`

/**
 * Starts Chromium with a profile of its own, which is deleted when Chromium closes.
 * @param {string[]} [more] more arguments
 */
export function launchBrowser(more = []) {
  if (!executablePath)
    throw new Error(`UPWIRE_REQUIRE_BROWSER is set, but there is no Chromium: ${howToGet}`)
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...more,
    ],
  })
}
