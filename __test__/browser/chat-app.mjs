// The example chat as its users run it: `next build` if needed, then `node server.js`.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repository = fileURLToPath(new URL('../../', import.meta.url))
export const chatFolder = join(repository, 'examples', 'chat')

const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1' }
// The runner of node:test is visible to children by this and would change their output.
delete env.NODE_TEST_CONTEXT

/** Runs `next build` unless the last build is newer than every source file. */
export async function buildChat() {
  const build = join(chatFolder, '.next', 'BUILD_ID')
  if (existsSync(build) && statSync(build).mtimeMs > newestChange(chatFolder)) return
  const app = new Process('npm', ['run', 'build'], chatFolder)
  const { code } = await app.exited
  if (code !== 0) throw new Error(`next build failed\n${app.output}`)
}

/** Starts server.js; resolves when it listens. Port 0 chooses a free one. */
export async function startChat({ folder = chatFolder, dev = false, port = 0 } = {}) {
  const app = new ChatApp(process.execPath, ['server.js', ...(dev ? ['--dev'] : [])], folder, {
    PORT: String(port),
  })
  await app.listening
  return app
}

class Process {
  output = ''

  constructor(command, args, cwd, variables = {}) {
    this.child = spawn(command, args, { cwd, env: { ...env, ...variables } })
    this.child.stdout.on('data', (chunk) => this.onOutput(chunk))
    this.child.stderr.on('data', (chunk) => this.onOutput(chunk))
    this.exited = once(this.child, 'close').then(([code, signal]) => ({ code, signal }))
    // The tests may be cut off themselves.
    const kill = () => this.child.kill('SIGKILL')
    process.once('exit', kill)
    this.exited.then(() => process.off('exit', kill))
  }

  onOutput(chunk) {
    this.output += chunk
  }
}

class ChatApp extends Process {
  constructor(...args) {
    super(...args)
    this.listening = new Promise((resolve, reject) => {
      this.onListening = resolve
      this.exited.then(() =>
        reject(new Error(`server.js ended before it listened\n${this.output}`)),
      )
    })
  }

  onOutput(chunk) {
    super.onOutput(chunk)
    const [, url, port] = this.output.match(/^> (http:\/\/localhost:(\d+))$/m) ?? []
    if (!url) return
    this.url = url
    this.port = Number(port)
    this.onListening()
  }

  /**
   * Sends SIGTERM and returns how the process ended. A process that does not end is killed, which
   * its signal shows.
   */
  async stop() {
    const start = performance.now()
    this.child.kill('SIGTERM')
    const deadline = setTimeout(() => this.child.kill('SIGKILL'), 10_000)
    const { code, signal } = await this.exited
    clearTimeout(deadline)
    return { code, signal, milliseconds: performance.now() - start }
  }
}

const generated = new Set(['.next', 'node_modules', 'next-env.d.ts', 'tsconfig.tsbuildinfo'])

/** A filter for fs.cp and the like: keeps the files of the example itself. */
export const isSource = (name) => !generated.has(name)

function newestChange(folder) {
  const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => isSource(name))
  return entries.reduce((newest, entry) => {
    const path = join(folder, entry.name)
    return Math.max(newest, entry.isDirectory() ? newestChange(path) : statSync(path).mtimeMs)
  }, 0)
}
