// An app in a process of its own, for tests that block its event loop, stop the process, or let an
// error of the app end it.

import { Child } from './child.mjs'

const INDEX = new URL('../../index.js', import.meta.url)

/** What every app can use: `tell` sends to the test, `hear` listens to it. */
const PREAMBLE = `
  import { createServer } from 'node:http'
  import { setTimeout as sleep } from 'node:timers/promises'
  import { Engine, attach } from '${INDEX}'
  const tell = (topic, value) => process.send({ topic, value })
  const listeners = new Map()
  process.on('message', ({ topic, value }) => listeners.get(topic)?.(value))
  const hear = (topic, listener) => listeners.set(topic, listener)
  const listen = (server) =>
    new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
  /** Blocks the event loop. */
  const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
`

/** A running app. */
export class App extends Child {
  /**
   * Starts an app.
   * @param {import('node:test').TestContext} t
   * @param {Function} body its program: a function that uses only the names of the preamble and its
   *   argument `options`
   * @param {object} [options] passed to the program as JSON
   * @param {{ descriptors?: number | string }} [limits] how many descriptors its process may have
   */
  static async start(t, body, options = {}, { descriptors = 'unlimited' } = {}) {
    const source = `${PREAMBLE}\nawait (${body})(${JSON.stringify(options)})\n`
    const command = [process.execPath, '--input-type=module', '--eval', source]
    const limited = ['sh', '-c', `ulimit -n ${descriptors}; exec "$0" "$@"`, ...command]
    const [program, ...args] = descriptors === 'unlimited' ? command : limited
    const app = new App(program, args, { hasChannel: true })
    t.after(async () => {
      app.kill()
      await app.ended
    })
    app.port = await app.report('port')
    return app
  }
}
