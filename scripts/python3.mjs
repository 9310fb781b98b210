// Makes a Python 3 with python-socketio, for the tests of that client.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './command.mjs'
import { findCommand } from './debian.mjs'

/** The client, and what it needs for both transports. */
const PACKAGES = ['python-socketio==5.14.1', 'requests==2.32.5', 'websocket-client==1.9.0']
const FOLDER = join(root, 'target', 'python3')
const TIMEOUT = 120_000

export const howToGet = 'install Python 3 with venv, and let pip reach a package index'

/** The path of a Python with the client, installed at the first call; or null. */
export function ensurePythonClient() {
  const python = join(FOLDER, 'bin', 'python')
  const ready = join(FOLDER, 'ready')
  if (existsSync(ready)) return python
  const base = findCommand('python3')
  if (base === null) return null
  const options = { stdio: ['ignore', 'ignore', 'pipe'], timeout: TIMEOUT }
  try {
    execFileSync(base, ['-m', 'venv', '--clear', FOLDER], options)
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...PACKAGES], options)
    execFileSync(python, ['-c', `open(${JSON.stringify(ready)}, "w")`], options)
    return python
  } catch (error) {
    console.error(`python-socketio could not be installed: ${error.message}`)
    return null
  }
}
