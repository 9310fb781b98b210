'use strict'

const { createRequire } = require('node:module')
const { join } = require('node:path')
const { next: log } = require('../debug')

let known

/**
 * The version of Next.js that this process has loaded, or else the one that the project has installed.
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
 * A file of Next.js that this process has loaded. It comes before the project's version, because
 * `next build app` runs from a folder that may have another version installed, or none.
 */
function loadedNext(project) {
  const { cache } = createRequire(project)
  return Object.keys(cache).find((file) =>
    /[\\/]next[\\/]dist[\\/](?:bin|build|server|cli)[\\/]/.test(file),
  )
}

/**
 * Loads a module of the Next.js that this process runs, such as `next/server`.
 * @returns {any} `undefined` when it cannot be loaded
 */
function requireNext(name) {
  const project = join(process.cwd(), 'package.json')
  try {
    return createRequire(loadedNext(project) ?? project)(name)
  } catch (error) {
    log('cannot load %s: %s', name, error.message)
    return undefined
  }
}

/** @param {string | undefined} file where the search for the package `next` starts */
function versionFrom(file) {
  if (file === undefined) return undefined
  try {
    const { version } = createRequire(file)('next/package.json')
    log('Next.js %s, resolved from %s', version, file)
    return parseVersion(version)
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

/** Whether a version is the given one or a newer one. */
function isAtLeast(version, [major, minor = 0, patch = 0]) {
  if (version.major !== major) return version.major > major
  if (version.minor !== minor) return version.minor > minor
  return version.patch >= patch
}

module.exports = { isAtLeast, nextVersion, requireNext }
