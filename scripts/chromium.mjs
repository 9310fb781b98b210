// Finds Chromium for the browser tests, or installs it where that is one command of the system.
//
//   node scripts/chromium.mjs    prints its path, or that browser tests will be skipped; exits 0

import { execFileSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

export const howToGet =
  'install Chromium (Debian: apt-get install chromium) or set CHROMIUM_PATH to the executable'

/** The path of Chromium, or null. Installs nothing. */
export function findChromium() {
  const chosen = process.env.CHROMIUM_PATH
  // Who names one wants that one: no silent second choice.
  if (chosen) return isExecutable(chosen) ? chosen : null
  return names.map(findCommand).find(Boolean) ?? null
}

/** The path of Chromium, installed first when it is missing and this is a Debian run by root. */
export function ensureChromium() {
  return findChromium() ?? (mayInstall() && install() ? findChromium() : null)
}

function mayInstall() {
  return !process.env.CHROMIUM_PATH && process.getuid?.() === 0 && findCommand('apt-get') !== null
}

function install() {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  // Its output goes to stderr: stdout is for the path alone.
  const options = { env, stdio: ['ignore', process.stderr, process.stderr] }
  try {
    execFileSync('apt-get', ['update', '-q'], options)
    execFileSync('apt-get', ['install', '-qy', '--no-install-recommends', 'chromium'], options)
    return true
  } catch (error) {
    console.error(`Chromium could not be installed: ${error.message}`)
    return false
  }
}

function findCommand(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  console.log(
    ensureChromium() ?? `No Chromium: browser tests will be skipped. To run them, ${howToGet}.`,
  )
}
