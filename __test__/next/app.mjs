// The source files of the apps, as upwire's users would write them.

/** The handlers of every app. */
const listen = `io.on('connection', (socket) => {
    socket.on('echo', (value, reply) => reply(value))
    socket.on('say', (text) => socket.broadcast.emit('said', text))
  })`

export function page(router) {
  const code = `export default function Page() {
  return <main>The page</main>
}
`
  if (router === 'pages') return { 'pages/index.js': code }
  const layout = `export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  )
}
`
  return { 'app/layout.js': layout, 'app/page.js': code }
}

/** @param {{ config?: object, rewrites?: string, withUpwire?: boolean | object }} settings */
export function nextConfig({ config = {}, rewrites, withUpwire = false }) {
  const object = JSON.stringify(config, null, 2)
  const lines = [`const config = ${object}`]
  if (rewrites) lines.push(`config.rewrites = async () => ${rewrites}`)
  if (withUpwire) lines.unshift("const { withUpwire } = require('upwire/next')")
  const given = withUpwire === true ? 'config' : `config, ${JSON.stringify(withUpwire)}`
  lines.push(`module.exports = ${withUpwire ? `withUpwire(${given})` : 'config'}`)
  return { 'next.config.js': `${lines.join('\n')}\n` }
}

/**
 * A custom server.
 * @param {{ dev: boolean, httpServer?: boolean, upgrades?: 'none' | 'unknown' | 'all',
 *   options: object, custom?: object, closes?: boolean, standalone?: boolean }} settings
 */
export function customServer(settings) {
  const { dev, httpServer, upgrades = 'none', options, custom, closes, standalone } = settings
  const given = JSON.stringify({ dev, ...(dev ? custom : {}) }).slice(1, -1)
  // In a standalone folder, the app's instrumentation adds the handlers.
  const handlers = standalone
    ? 'attach(server, options)'
    : `const io = attach(server, options)\n  ${listen}`
  return `const { createServer } = require('node:http')
const { join } = require('node:path')
${standalone ? standaloneConfig : ''}const next = require('next')
const { attach } = require('upwire')

const options = ${JSON.stringify(options)}
const port = Number(process.env.PORT)

async function main() {
  const server = createServer((req, res) => handle(req, res))
  const app = next({ dir: __dirname, hostname: 'localhost', port, ${given}${httpServer ? ', httpServer: server' : ''} })
  await app.prepare()
  const handle = app.getRequestHandler()
  ${handlers}
${upgradeHandlers[upgrades]}${closes ? closing : ''}  server.listen(port, () => console.log('> ready'))
}

main()
`
}

const standaloneConfig = `const { config } = require(join(__dirname, '.next', 'required-server-files.json'))
process.env.__NEXT_PRIVATE_STANDALONE_CONFIG = JSON.stringify(config)
`

const closing = `  process.once('SIGTERM', () => server.close(() => process.exit()))
`

const upgradeHandlers = {
  none: '',
  unknown: `  const upgrade = app.getUpgradeHandler()
  server.on('upgrade', (req, socket, head) => {
    if (!req.url.startsWith(options.path ?? '/socket.io')) upgrade(req, socket, head)
  })
`,
  all: `  const upgrade = app.getUpgradeHandler()
  server.on('upgrade', (req, socket, head) => upgrade(req, socket, head))
`,
}

export function instrumentation(options) {
  return {
    'instrumentation.js': `export async function register() {
  if (process.env.NEXT_RUNTIME === 'nodejs') {
    await import('./socket')
    console.log('> registered')
  }
}
`,
    'socket.js': `import { registerUpwire } from 'upwire/next'

registerUpwire(${JSON.stringify(options)}, (io) => {
  ${listen}
})
`,
  }
}

/** A route handler that emits an event; with GET, it asks for nothing of the request. */
export const emitRoute = {
  'app/api/emit/route.js': `import { getIO } from 'upwire/next'

export function GET() {
  getIO()?.emit('emitted', 'from a route')
  return new Response('emitted')
}

export async function POST() {
  try {
    getIO()?.emit('emitted', 'from a route')
    return new Response('emitted')
  } catch (error) {
    return new Response(error.code ?? error.stack, { status: 503 })
  }
}
`,
}

/** The well-known recipe for a Pages API route. */
export function apiRoute(options) {
  return {
    'pages/api/socket.js': `import { attach } from 'upwire'

export default function handler(req, res) {
  if (res.socket?.server?.io) return res.end()
  const io = attach(res.socket.server, ${JSON.stringify(options)})
  ${listen}
  res.socket.server.io = io
  res.end()
}
`,
  }
}

/** The same with the handlers passed to attach(), so that its first line is not needed. */
export function shortApiRoute(options) {
  return {
    'pages/api/socket.js': `import { attach } from 'upwire'

export default function handler(req, res) {
  attach(res.socket.server, ${JSON.stringify(options)}, (io) => {
  ${listen}
  })
  res.end()
}
`,
  }
}

/** A route that also answers the poll that has called it. */
export function socketRoute(options) {
  return {
    'pages/api/socket.js': `import { socketRoute } from 'upwire/next'

export default socketRoute(${JSON.stringify(options)}, (io) => {
  ${listen}
})
`,
  }
}

export const catchAll = {
  'app/[...all]/page.js': `export default function CatchAll() {
  return <main>Everything else</main>
}
`,
}

export function middleware(name) {
  return {
    [`${name}.js`]: `import { NextResponse } from 'next/server'

export function ${name}() {
  return NextResponse.next()
}
`,
  }
}
