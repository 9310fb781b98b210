// A server in a process of its own. A runner starts it and requests operations over IPC.

import { fileURLToPath } from 'node:url'

import { end, start } from '../../bench/harness/children.mjs'
import { Expectations } from '../../bench/harness/expect.mjs'

export class ServerChild {
  #child
  #expect = new Expectations()
  #id = 0

  /** Starts a script with one JSON argument; resolves once it listens. */
  static async start(script, options, { onReport } = {}) {
    const server = new ServerChild()
    const file = fileURLToPath(script)
    server.#child = start(process.execPath, [file, JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    server.#listen(onReport)
    server.pid = server.#child.pid
    server.port = await server.#expect.wait('port', 'server: listening', 20)
    return server
  }

  /** Runs one of the server's operations. */
  ask(operation, options, seconds = 60) {
    const id = ++this.#id
    const answer = this.#expect.wait(id, `server: ${operation}`, seconds)
    this.#child.send({ id, operation, options }, (error) => {
      if (error) this.#expect.reject(id, error)
    })
    return answer
  }

  signal(name) {
    this.#child.kill(name)
  }

  end() {
    return end(this.#child)
  }

  /** Exit code and signal, once it has ended. */
  get ended() {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) {
      return Promise.resolve([child.exitCode, child.signalCode])
    }
    return new Promise((resolve) => child.once('exit', (...how) => resolve(how)))
  }

  #listen(onReport) {
    this.#child.on('message', ({ id, port, report, result, error }) => {
      if (report) onReport?.(report)
      else if (port) this.#expect.resolve('port', port)
      else if (error) this.#expect.reject(id, new Error(`server: ${error}`))
      else this.#expect.resolve(id, result)
    })
    this.#child.on('error', (error) => this.#expect.fail(error))
    this.#child.on('exit', (code, signal) =>
      this.#expect.fail(new Error(`the server ended (${signal ?? `code ${code}`})`)),
    )
  }
}
