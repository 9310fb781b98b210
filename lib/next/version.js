'use strict'

const { createRequire } = require('node:module')
const { join } = require('node:path')

let known

/**
 * The version of the project's Next.js: found from where the project is run, not from where this
 * package is.
 * @returns {{ major: number, minor: number, patch: number, canary: number | undefined } | undefined}
 */
function nextVersion() {
  known ??= readVersion()
  return known
}

function readVersion() {
  try {
    const project = createRequire(join(process.cwd(), 'package.json'))
    return parseVersion(project('next/package.json').version)
  } catch {
    return undefined
  }
}

function parseVersion(text) {
  const match = /^(\d+)\.(\d+)\.(\d+)(?:-canary\.(\d+))?/.exec(text)
  if (match === null) return undefined
  const [major, minor, patch] = match.slice(1, 4).map(Number)
  return { major, minor, patch, canary: match[4] === undefined ? undefined : Number(match[4]) }
}

/** Whether a version is at least another. */
function isAtLeast(version, [major, minor = 0, patch = 0]) {
  if (version.major !== major) return version.major > major
  if (version.minor !== minor) return version.minor > minor
  return version.patch >= patch
}

module.exports = { isAtLeast, nextVersion, parseVersion }
