// The example chat as its users run it: `next build` if needed, then `node server.js`.

import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Child, runToEnd } from '../support/child.mjs'
import { environment } from '../support/environment.mjs'
import { within } from '../support/events.mjs'

export const repository = fileURLToPath(new URL('../../', import.meta.url))
export const chatFolder = join(repository, 'examples', 'chat')

/** How long server.js may take to listen. */
const READY = 120_000
/** How long server.js may take to end. */
const END = 10_000

/** Runs `next build` unless the last build is newer than every source file. */
export async function buildChat() {
  const build = join(chatFolder, '.next', 'BUILD_ID')
  if (existsSync(build) && statSync(build).mtimeMs > newestChange(chatFolder)) return
  await runToEnd('npm', ['run', 'build'], { cwd: chatFolder })
}

/** Starts server.js; resolves when it listens. Port 0 chooses a free one. */
export async function startChat({ folder = chatFolder, dev = false, port = 0 } = {}) {
  const env = environment({ PORT: String(port) })
  const args = ['server.js', ...(dev ? ['--dev'] : [])]
  const app = new ChatApp(process.execPath, args, { cwd: folder, env })
  ;[, app.url, app.port] = await app.says(/^> (http:\/\/localhost:(\d+))$/m, READY)
  return app
}

class ChatApp extends Child {
  /**
   * Sends SIGTERM and returns how the process ended. A process that does not end is killed, which its
   * signal shows.
   */
  async stop() {
    const start = performance.now()
    this.signal('SIGTERM')
    await within(this.ended, 'the end', END).catch(() => this.kill())
    return { ...(await this.ended), milliseconds: performance.now() - start }
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
