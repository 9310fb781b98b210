// Runs commands for the other scripts.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The repository's root. */
export const root = fileURLToPath(new URL('..', import.meta.url))

/** A command that could not be run or did not end with 0. */
export class CommandError extends Error {}

/**
 * Runs a command to its end.
 * @param {string} line the command and its arguments, separated by single spaces
 * @param {{ cwd?: string, env?: Record<string, string>, show?: 'all' | 'failure', with?: 'stderr' }} [options]
 *   `show`: its output as it comes (the default), or only when it fails; `with`: return what it
 *   writes to standard error as well
 * @returns {Promise<string>} its standard output
 * @throws {CommandError}
 */
export async function run(line, { cwd = root, env = {}, show = 'all', with: also } = {}) {
  const [command, ...args] = line.split(' ')
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // On Windows, npm and npx are batch files.
    shell: process.platform === 'win32',
  })
  const stopped = stopWith(child)
  const output = { stdout: '', all: '' }
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      output.all += text
      if (name === 'stdout') output.stdout += text
      if (show === 'all') process[name].write(text)
    })
  }
  try {
    const code = await ended(child)
    if (code === 0) return also === 'stderr' ? output.all : output.stdout
    const shown = show === 'all' ? '' : `\n${output.all}`
    throw new CommandError(`${line}: ended with ${code}${shown}`)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
    throw new CommandError(`${line}: no such command. ${hints[command] ?? ''}`)
  } finally {
    stopped()
  }
}

const hints = {
  cargo: 'upwire is built with Rust, 1.88 or newer: https://rustup.rs',
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(signal ?? code))
  })
}

/** Stops the child when this process is stopped. Returns a function that undoes this. */
function stopWith(child) {
  const handlers = ['SIGINT', 'SIGTERM'].map((signal, index) => {
    const stop = () => {
      child.kill(signal)
      process.exit(index === 0 ? 130 : 143)
    }
    process.on(signal, stop)
    return () => process.off(signal, stop)
  })
  return () => {
    for (const remove of handlers) remove()
  }
}

/** Prints why a script cannot continue, and exits. For a top-level `catch`. */
export function fail(error) {
  console.error(error instanceof CommandError ? error.message : error)
  process.exit(1)
}
