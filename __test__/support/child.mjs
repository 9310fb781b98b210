// Child processes: starting them, waiting for their output and their messages, and ending them.

import { spawn } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { environment } from './environment.mjs'
import { PATIENCE, within } from './events.mjs'

/** How long a process may take until its first message: on a loaded machine, starting takes seconds. */
const STARTING = 30_000
const RUNNER = fileURLToPath(new URL('./runner.mjs', import.meta.url))

/** Children that may still run; they end with this process. */
const running = new Set()
let isWatching = false

function endWithThisProcess(child) {
  running.add(child)
  if (isWatching) return
  isWatching = true
  process.on('exit', () => {
    for (const each of running) each.kill()
  })
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
}

/** A child process. Its messages are objects `{ topic, value }`. */
export class Child {
  stdout = ''
  stderr = ''
  /** Both together. */
  output = ''
  /** All messages so far. */
  reports = []
  #process
  #isGroup
  #end
  #taken = new Map()
  #watchers = new Set()

  /**
   * @param {string} command
   * @param {string[]} args
   * @param {object} [options]
   * @param {string} [options.cwd]
   * @param {NodeJS.ProcessEnv} [options.env]
   * @param {boolean} [options.isGroup] the child gets a process group of its own, and `kill` ends all of it
   * @param {boolean} [options.hasChannel] the child can exchange messages with this process
   */
  constructor(command, args, { cwd, env, isGroup = false, hasChannel = false } = {}) {
    this.#isGroup = isGroup
    this.#process = spawn(command, args, {
      cwd,
      env,
      detached: isGroup,
      stdio: ['ignore', 'pipe', 'pipe', ...(hasChannel ? ['ipc'] : [])],
    })
    this.pid = this.#process.pid
    endWithThisProcess(this)
    for (const name of ['stdout', 'stderr']) {
      this.#process[name].setEncoding('utf8').on('data', (text) => {
        this[name] += text
        this.output += text
        this.#look()
      })
    }
    this.#process.on('error', (error) => (this.output += `${error.message}\n`))
    this.#process.on('message', (report) => {
      this.reports.push(report)
      this.#look()
    })
    /** Exit code and signal, as soon as the process has ended. */
    this.exited = new Promise((resolve) => {
      this.#process.on('exit', (code, signal) => {
        // Others in its group may keep the output open.
        if (isGroup) this.#setEnd({ code, signal })
        resolve({ code, signal })
      })
    })
    /** Exit code and signal, once all output is here as well. */
    this.ended = new Promise((resolve) => {
      this.#process.on('close', (code, signal) => {
        if (!isGroup) running.delete(this)
        this.#setEnd({ code, signal })
        resolve({ code, signal })
      })
    })
  }

  #setEnd(end) {
    this.#end ??= end
    this.#look()
  }

  #look() {
    for (const look of this.#watchers) look()
  }

  /** Whether the process has ended. */
  get hasEnded() {
    return this.#end !== undefined
  }

  /** Waits for what `find` returns, and fails when the process ends without it. */
  async #when(find, what, ms) {
    let look
    const found = new Promise((resolve, reject) => {
      look = () => {
        const value = find()
        if (value) resolve(value)
        else if (this.hasEnded) {
          const end = this.#end.signal ?? this.#end.code
          reject(new Error(`the process ended with ${end} before ${what}${this.#seen()}`))
        }
      }
    })
    this.#watchers.add(look)
    look()
    try {
      return await within(found, () => `${what}${this.#seen()}`, ms)
    } finally {
      this.#watchers.delete(look)
    }
  }

  #seen() {
    const reports = this.reports.length > 0 ? `; it reported ${JSON.stringify(this.reports)}` : ''
    return `${reports}; it printed:\n${this.output}`
  }

  /** Waits until the output matches, and returns the match. */
  says(pattern, ms = PATIENCE) {
    return this.#when(() => this.output.match(pattern), `${pattern} in its output`, ms)
  }

  get #patience() {
    return this.reports.length > 0 ? PATIENCE : STARTING
  }

  /** All values received with a topic. */
  values(topic) {
    return this.reports.filter((report) => report.topic === topic).map(({ value }) => value)
  }

  /** The value of message number `count` with this topic. */
  async report(topic, count = 1, ms = this.#patience) {
    const find = () => {
      const values = this.values(topic)
      return values.length >= count && { value: values[count - 1] }
    }
    return (await this.#when(find, `message ${count} about ${topic}`, ms)).value
  }

  /** The value of the next message with this topic that this method has not returned yet. */
  message(topic, ms = this.#patience) {
    const count = (this.#taken.get(topic) ?? 0) + 1
    this.#taken.set(topic, count)
    return this.report(topic, count, ms)
  }

  /** Sends a message to the process. */
  send(topic, value) {
    this.#process.send({ topic, value })
  }

  /** Sends a signal to the process alone. */
  signal(name) {
    this.#process.kill(name)
  }

  /** Waits for the end; returns exit code and signal. */
  end(ms = PATIENCE) {
    return within(this.ended, 'the process to end', ms)
  }

  /** Sends SIGTERM to the process alone, as a supervisor does; returns the milliseconds until the end. */
  async terminate(ms = PATIENCE) {
    const start = performance.now()
    this.signal('SIGTERM')
    await within(this.exited, new Error(`still runs ${ms} ms after SIGTERM`), ms)
    return performance.now() - start
  }

  /** Ends the process at once, with everything left of its group. */
  kill() {
    running.delete(this)
    if (!this.#isGroup) return this.signal('SIGKILL')
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch (error) {
      if (error.code !== 'ESRCH') throw error
    }
  }

  /** The number of open descriptors (Linux). */
  descriptors() {
    return readdirSync(`/proc/${this.pid}/fd`).length
  }

  /** Resident memory in bytes (Linux). */
  rss() {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024
  }
}

/**
 * Runs an exported function of a module in a process of its own; see runner.mjs.
 * @param {import('node:test').TestContext} t ends it if it still runs
 * @param {URL} module
 * @param {string} name of the function
 * @param {unknown} [argument] passed to it as JSON
 */
export function start(t, module, name, argument, { cwd, execArgv = [], env = {} } = {}) {
  const args = [...execArgv, RUNNER, module.href, name, JSON.stringify(argument ?? null)]
  const child = new Child(process.execPath, args, {
    cwd,
    env: { ...process.env, ...env },
    hasChannel: true,
  })
  t.after(() => child.kill())
  return child
}

/** Runs a command to its end and returns its output; throws with the output when it fails. */
export async function runToEnd(command, args, { cwd, env = environment(), timeout = 600_000 }) {
  const child = new Child(command, args, { cwd, env, isGroup: true })
  const line = `${command} ${args.join(' ')}`
  try {
    const { code } = await within(child.ended, () => `${line} to end\n${child.output}`, timeout)
    if (code !== 0) throw new Error(`${line}\n${child.output}`)
    return child.output
  } finally {
    child.kill()
  }
}
