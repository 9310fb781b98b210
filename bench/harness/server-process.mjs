// The measured server as the runner sees it: a child with an IPC channel that runs operations.

import { fileURLToPath } from 'node:url'

import { end, start } from './children.mjs'
import { Expectations } from './expect.mjs'

const script = fileURLToPath(new URL('../server.mjs', import.meta.url))

export class ServerProcess {
  #child
  #expect = new Expectations()
  #id = 0

  static async start(peer, core) {
    const server = new ServerProcess()
    server.port = await server.#spawn(peer, core)
    return server
  }

  /** Runs one of the operations of server.mjs. */
  ask(operation, options, seconds = 30) {
    const id = ++this.#id
    const answer = this.#expect.wait(id, `server: ${operation}`, seconds)
    this.#child.send({ id, operation, options }, (error) => {
      if (error) this.#expect.reject(id, error)
    })
    return answer
  }

  end() {
    return end(this.#child)
  }

  #spawn(peer, core) {
    this.#child = start(process.execPath, ['--expose-gc', script, peer], {
      core,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', ({ id, port, result, error }) => {
      if (port) this.#expect.resolve('port', port)
      else if (error) this.#expect.reject(id, new Error(`server: ${error}`))
      else this.#expect.resolve(id, result)
    })
    this.#child.on('error', (error) => this.#expect.fail(error))
    this.#child.on('exit', (code, signal) =>
      this.#expect.fail(new Error(`the server ended (${signal ?? `code ${code}`})`)),
    )
    return this.#expect.wait('port', 'server: listening', 20)
  }
}
