// An app in a process of its own: where the event loop is blocked, the process is stopped, or an
// error of the app ends it.

import { spawn } from 'node:child_process'
import { until, within } from './events.mjs'

const INDEX = new URL('../../index.js', import.meta.url)

/** What every app has; `tell` reports to the test, `told` is called with what the test says. */
const PREAMBLE = `
  import { createServer } from 'node:http'
  import { setTimeout as sleep } from 'node:timers/promises'
  import { Engine, attach } from '${INDEX}'
  const tell = (name, value) => process.send({ name, value })
  const listeners = new Map()
  process.on('message', ({ name, value }) => listeners.get(name)?.(value))
  const told = (name, listener) => listeners.set(name, listener)
  const listen = (server) =>
    new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
  /** Blocks the event loop. */
  const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
`

/** A running app. */
export class App {
  #child

  constructor(child) {
    this.#child = child
    /** What the app told, in order. */
    this.reports = []
    /** What it printed. */
    this.output = ''
    child.on('message', (report) => this.reports.push(report))
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text) => {
        this.output += text
      })
    }
    /** Code and signal of its end. */
    this.exit = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        this.ended = { code, signal }
        resolve(this.ended)
      })
    })
  }

  /**
   * Starts an app.
   * @param {import('node:test').TestContext} t
   * @param {Function} body its program: a function that uses the names of the preamble, and
   *   `options`, nothing else
   * @param {{ descriptors?: number | string }} [limits] how many descriptors its process may have
   */
  static async start(t, body, options = {}, { descriptors = 'unlimited' } = {}) {
    const source = `${PREAMBLE}\nawait (${body})(${JSON.stringify(options)})\n`
    const command = [process.execPath, '--input-type=module', '--eval', source]
    const limited = ['sh', '-c', `ulimit -n ${descriptors}; exec "$0" "$@"`, ...command]
    const [program, ...args] = descriptors === 'unlimited' ? command : limited
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    const app = new App(child)
    t.after(async () => {
      child.kill('SIGKILL')
      await app.exit
    })
    app.port = await app.report('port')
    return app
  }

  /** All values told under a name. */
  values(name) {
    return this.reports.filter((report) => report.name === name).map(({ value }) => value)
  }

  /** The value first told under a name. */
  async report(name, count = 1) {
    await until(
      () => this.values(name).length >= count || this.ended !== undefined,
      () =>
        `the app to tell ${name}; it told ${JSON.stringify(this.reports)} and printed ${this.output}`,
    )
    const values = this.values(name)
    if (values.length < count) {
      throw new Error(
        `the app ended before it told ${name}: ${JSON.stringify(this.ended)} ${this.output}`,
      )
    }
    return values[count - 1]
  }

  /** Says something to the app. */
  tell(name, value) {
    this.#child.send({ name, value })
  }

  /** Sends a signal to it, and to it alone. */
  signal(name) {
    this.#child.kill(name)
  }

  /** Waits for its end. */
  end() {
    return within(this.exit, 'the app to end')
  }

  /** Its process. */
  get pid() {
    return this.#child.pid
  }
}
