// Builds upwire and runs the chat example on it.
//
//   npm start      the production build and server
//   npm run dev    the dev server, with hot reloading
//
// PORT sets the port.

import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fail, root, run } from './command.mjs'

if (process.env.npm_lifecycle_event !== undefined) endWithParent()

const dev = process.argv.includes('--dev')
const chat = join(root, 'examples', 'chat')

try {
  console.log('Building upwire in release mode. The first time this takes a minute or two.')
  await run('npm run --silent build', { show: 'failure' })
  if (!dev) {
    console.log('Building the chat example with Next.js.')
    await run('npm run --silent build', { cwd: chat, show: 'failure' })
  }
} catch (error) {
  fail(error)
}

// The server runs in this process, so that signals reach it directly.
const server = join(chat, 'server.js')
process.chdir(chat)
process.argv = [process.argv[0], server, ...(dev ? ['--dev'] : [])]
await import(pathToFileURL(server))

/**
 * Stopping npm means stopping this process, too. npm sends signals to the shell that runs this
 * script, and some shells do not pass them on.
 */
function endWithParent() {
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    process.kill(process.pid, 'SIGTERM')
  }, 200)
  watch.unref()
}
