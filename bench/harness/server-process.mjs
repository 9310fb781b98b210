// A server as its runner sees it: a child process with an IPC channel that runs operations.

import { fileURLToPath } from 'node:url'

import { end, start } from './children.mjs'
import { Expectations } from './expect.mjs'

export class ServerProcess {
  #child
  #expect = new Expectations()
  #id = 0

  /**
   * Starts a script with Node; resolves once the server listens.
   * @param {URL} script
   * @param {string[]} args
   * @param {object} [options]
   * @param {string[]} [options.flags] flags for Node
   * @param {number} [options.core] the only core that the server may use
   * @param {(report: unknown) => void} [options.onReport] called for each report of the server
   */
  static async start(script, args, { flags = [], core, onReport } = {}) {
    const server = new ServerProcess()
    const line = [...flags, fileURLToPath(script), ...args]
    server.#child = start(process.execPath, line, {
      core,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    server.#listen(onReport)
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
