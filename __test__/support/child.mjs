// Programs that run in a process of their own: named functions of a module.

import { fork } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { PATIENCE, within } from './events.mjs'

const RUNNER = fileURLToPath(new URL('./runner.mjs', import.meta.url))

/**
 * Starts a program.
 * @param {import('node:test').TestContext} t ends it if it still runs
 * @param {URL} module where the program is
 * @param {string} name the exported function
 * @param {unknown} [argument] given to it, as JSON
 */
export function start(t, module, name, argument, { cwd, execArgv = [], env = {} } = {}) {
  const child = fork(RUNNER, [module.href, name, JSON.stringify(argument ?? null)], {
    cwd,
    execArgv,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  t.after(() => child.kill('SIGKILL'))
  return new Child(child)
}

class Child {
  stdout = ''
  stderr = ''
  #messages = []
  #waiting = []

  constructor(process) {
    this.process = process
    this.pid = process.pid
    process.stdout.on('data', (chunk) => (this.stdout += chunk))
    process.stderr.on('data', (chunk) => (this.stderr += chunk))
    process.on('message', (message) => {
      const index = this.#waiting.findIndex(({ topic }) => topic === message.topic)
      if (index >= 0) this.#waiting.splice(index, 1)[0].resolve(message.value)
      else this.#messages.push(message)
    })
    const ended = new Promise((resolve) => {
      process.on('close', (code, signal) => resolve({ code, signal }))
    })
    /** Exit code and signal, once all output is here. */
    this.ended = ended.then((end) => {
      const error = new Error(`the program ended (${JSON.stringify(end)}): ${this.stderr}`)
      for (const { reject } of this.#waiting.splice(0)) reject(error)
      return end
    })
  }

  /** The value of the next message with this topic. */
  message(topic, ms = PATIENCE) {
    const index = this.#messages.findIndex((message) => message.topic === topic)
    if (index >= 0) return Promise.resolve(this.#messages.splice(index, 1)[0].value)
    const arrival = new Promise((resolve, reject) => this.#waiting.push({ topic, resolve, reject }))
    return within(arrival, `message "${topic}" of the program`, ms)
  }

  send(topic, value) {
    this.process.send({ topic, value })
  }

  /** The end of the program: exit code and signal. */
  end(ms = PATIENCE) {
    return within(this.ended, 'the end of the program', ms)
  }

  /** Open descriptors. */
  descriptors() {
    return readdirSync(`/proc/${this.pid}/fd`).length
  }

  /** Resident memory in bytes. */
  rss() {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024
  }
}
