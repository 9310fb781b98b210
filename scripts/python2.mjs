// Finds a Python 2.7 for the Autobahn test suite, which runs on no other version, or installs it
// where the system still has one.

import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findCommand, installPackage } from './debian.mjs'

export const howToGet = 'install Python 2.7 with pip (pyenv install 2.7.18) or set PYTHON2 to it'

/** The path of a Python 2.7, or null. Installs nothing. */
export function findPython2() {
  const chosen = process.env.PYTHON2
  if (chosen) return isPython2(chosen) ? chosen : null
  const names = ['python2.7', 'python2', 'pypy', 'python'].map(findCommand)
  return [...ofPyenv(), ...names].find((path) => path !== null && isPython2(path)) ?? null
}

/**
 * The path of a Python 2.7. When it is missing and this is Debian with root, it is installed first.
 */
export function ensurePython2() {
  const mayInstall = !process.env.PYTHON2
  return findPython2() ?? (mayInstall && installPackage('python2') ? findPython2() : null)
}

/** pyenv's own commands run a version only in a folder that selects it. */
function ofPyenv() {
  const versions = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions')
  try {
    return readdirSync(versions)
      .filter((name) => name.startsWith('2.7') || name.startsWith('pypy2.7'))
      .map((name) => join(versions, name, 'bin', 'python'))
  } catch {
    return []
  }
}

function isPython2(path) {
  const program = 'import sys, ensurepip; print(sys.version_info[:2] == (2, 7))'
  try {
    const options = { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' }
    return execFileSync(path, ['-c', program], options).trim() === 'True'
  } catch {
    return false
  }
}
