// Finds programs that tests need besides Node, and installs them where one command can do that.

import { execFileSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The path of a command, or null. */
export function findCommand(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter(Boolean), '/usr/sbin']
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null
}

export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** Installs a package if this is Debian with root. Returns whether it did. */
export function installPackage(name) {
  if (process.getuid?.() !== 0 || findCommand('apt-get') === null) return false
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  // Its output goes to stderr, since scripts print their results to stdout.
  const options = { env, stdio: ['ignore', process.stderr, process.stderr] }
  try {
    execFileSync('apt-get', ['update', '-q'], options)
    execFileSync('apt-get', ['install', '-qy', '--no-install-recommends', name], options)
    return true
  } catch (error) {
    console.error(`${name} could not be installed: ${error.message}`)
    return false
  }
}
