// The commands under test and their process groups.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** The environment without the variables of npm and node:test, which would change how Next.js behaves. */
export function environment(more = {}) {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      /^npm_config_(registry|cache|cafile|userconfig|.*proxy)$/i.test(name) ||
      !/^(npm_|NODE_TEST_|NODE_ENV$|NODE_OPTIONS$|NAPI_RS_|INIT_CWD$|PORT$|UPWIRE_)/i.test(name),
  )
  return { ...Object.fromEntries(kept), NEXT_TELEMETRY_DISABLED: '1', ...more }
}

const groups = new Set()
process.on('exit', () => groups.forEach((group) => killGroup(group)))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (error.code !== 'ESRCH') throw error
  }
}

/** A command in its own process group. */
export class Command {
  output = ''
  #watchers = new Set()

  constructor(command, args, options) {
    this.child = spawn(command, args, {
      ...options,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.exited = once(this.child, 'exit')
    this.closed = once(this.child, 'close')
    groups.add(this.child.pid)
    for (const name of ['stdout', 'stderr']) {
      this.child[name].setEncoding('utf8').on('data', (text) => {
        this.output += text
        for (const watch of this.#watchers) watch()
      })
    }
  }

  /** Waits until the output matches a pattern. */
  async says(pattern, timeout) {
    const ended = this.exited.then(([code, signal]) => {
      throw new Error(`ended with ${signal ?? code} before it said ${pattern}`)
    })
    let watch
    const said = new Promise((resolve) => {
      watch = () => pattern.test(this.output) && resolve()
      this.#watchers.add(watch)
      watch()
    })
    try {
      await within(timeout, Promise.race([said, ended]), `did not say ${pattern}`)
    } finally {
      this.#watchers.delete(watch)
    }
  }

  /** Sends SIGTERM to the command, not to its group, as a supervisor does. Resolves with the time it took. */
  async terminate(patience) {
    const start = performance.now()
    this.child.kill('SIGTERM')
    await within(patience, this.exited, `still runs ${patience} ms after SIGTERM`)
    return performance.now() - start
  }

  /** Kills the remaining processes of the group. */
  kill() {
    killGroup(this.child.pid)
    groups.delete(this.child.pid)
  }
}

/** Runs a command to its end. If it fails, the error contains its output. */
export async function runToEnd(command, args, { cwd, env = environment(), timeout = 600_000 }) {
  const running = new Command(command, args, { cwd, env })
  try {
    const [code] = await within(timeout, running.closed, `${command} ${args.join(' ')}: too slow`)
    if (code !== 0) throw new Error(`${command} ${args.join(' ')}\n${running.output}`)
    return running.output
  } finally {
    running.kill()
  }
}

/** Resolves with the promise, or rejects after a time. */
export async function within(timeout, promise, complaint) {
  const abort = new AbortController()
  const late = delay(timeout, undefined, { signal: abort.signal }).then(() => {
    throw new Error(complaint)
  })
  late.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    abort.abort()
  }
}

export async function freePort() {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** Whether a port accepts connections. */
export async function isOpen(port) {
  const socket = connect({ port, host: 'localhost' })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Waits until a port is open, or closed. */
export async function until(port, open, timeout, complaint) {
  const deadline = performance.now() + timeout
  while ((await isOpen(port)) !== open) {
    if (performance.now() > deadline) throw new Error(complaint)
    await delay(20)
  }
}
