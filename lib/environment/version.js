'use strict'

const { createRequire } = require('node:module')
const { join } = require('node:path')

let known

/**
 * The version of the Next.js that runs here, or else of the project's.
 * @returns {{ major: number, minor: number, patch: number, canary: number | undefined } | undefined}
 */
function nextVersion() {
  known ??= findVersion()
  return known
}

function findVersion() {
  const project = join(process.cwd(), 'package.json')
  return versionFrom(loadedNext(project)) ?? versionFrom(project)
}

/**
 * A file of Next.js that is loaded: `next build app` is run from elsewhere, where another version may be
 * installed, or none.
 */
function loadedNext(project) {
  const { cache } = createRequire(project)
  return Object.keys(cache).find((file) =>
    /[\\/]next[\\/]dist[\\/](?:bin|build|server|cli)[\\/]/.test(file),
  )
}

/** @param {string | undefined} file from where the package is looked for, not from where this one is */
function versionFrom(file) {
  if (file === undefined) return undefined
  try {
    return parseVersion(createRequire(file)('next/package.json').version)
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
