// Finds Chromium for the browser tests, or installs it where one command can do that.
//
//   node scripts/chromium.mjs    prints its path, or that browser tests will be skipped; exits 0

import { pathToFileURL } from 'node:url'
import { findCommand, installPackage, isExecutable } from './debian.mjs'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

export const howToGet =
  'install Chromium (Debian: apt-get install chromium) or set CHROMIUM_PATH to the executable'

/** The path of Chromium, or null. Installs nothing. */
export function findChromium() {
  const chosen = process.env.CHROMIUM_PATH
  // A chosen Chromium that does not work is an error to show, not a reason to take another.
  if (chosen) return isExecutable(chosen) ? chosen : null
  return names.map(findCommand).find(Boolean) ?? null
}

/** The path of Chromium. When it is missing and this is Debian with root, it is installed first. */
export function ensureChromium() {
  const mayInstall = !process.env.CHROMIUM_PATH
  return findChromium() ?? (mayInstall && installPackage('chromium') ? findChromium() : null)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  console.log(
    ensureChromium() ?? `No Chromium: browser tests will be skipped. To run them, ${howToGet}.`,
  )
}
