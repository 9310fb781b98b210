// upwire/next in processes that treat their server as Next.js does. __test__/next runs Next.js itself.

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { client, connect, connected } from '../support/clients.mjs'
import { start } from '../support/child.mjs'
import { event } from '../support/events.mjs'
import { fetchText, handshakeText } from '../support/http.mjs'

const require = createRequire(import.meta.url)
const programs = new URL('./next-programs.mjs', import.meta.url)
const production = { NODE_ENV: 'production' }
const address = (port) => `http://127.0.0.1:${port}`

const ABSOLUTE_FORM = [
  'GET http://elsewhere.example/ HTTP/1.1',
  'Host: x',
  'Connection: upgrade',
  'Upgrade: websocket',
  '\r\n',
].join('\r\n')

async function page(port, path = '/') {
  return (await fetchText(address(port) + path)).text
}

function run(t, name, argument, { env = production, ...options } = {}) {
  return start(t, programs, name, argument, { env, ...options })
}

async function register(child) {
  child.send('register')
  await child.message('registered')
}

describe('registerUpwire', () => {
  for (const transports of [['websocket'], ['polling']]) {
    test(`finds the server at the first connection, ${transports}`, async (t) => {
      const child = run(t, 'registered', {})
      const { port } = await child.message('ports')
      await register(child)
      const socket = await connect(t, address(port), { transports })
      assert.equal(await socket.emitWithAck('port'), port)
    })
  }

  test('finds the server at a request on a connection accepted before', async (t) => {
    const child = run(t, 'registered', {})
    const { port } = await child.message('ports')
    const socket = connectTcp(port, '127.0.0.1')
    t.after(() => socket.destroy())
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await event(socket, 'data')
    await register(child)
    socket.write(handshakeText('polling'))
    const [answer] = await event(socket, 'data')
    assert.match(String(answer), /"sid":/)
  })

  for (const [request, status] of [
    [handshakeText('websocket'), 101],
    [ABSOLUTE_FORM, 400],
  ]) {
    test(`finds the server without waiting for a client: ${status} on a connection accepted before`, async (t) => {
      const child = run(t, 'registered', {})
      const { port } = await child.message('ports')
      const socket = connectTcp(port, '127.0.0.1')
      t.after(() => socket.destroy())
      await child.message('connection')
      await register(child)
      // upwire connects to the server itself in order to find it.
      await child.message('connection')
      socket.write(request)
      const [answer] = await event(socket, 'data')
      assert.match(String(answer), new RegExp(`^HTTP/1\\.1 ${status} `))
    })
  }

  test('takes no other server of the process', async (t) => {
    const child = run(t, 'registered', {})
    const { port, otherPort } = await child.message('ports')
    await register(child)
    assert.match(await page(otherPort, '/socket.io/?EIO=4&transport=polling'), /page/)
    const socket = await connect(t, address(port))
    assert.equal(await socket.emitWithAck('port'), port)
  })

  test('closes an upgrade that arrived earlier, so that its client reconnects', async (t) => {
    const child = run(t, 'registered', {})
    const { port } = await child.message('ports')
    const socket = client(t, address(port), {
      transports: ['websocket'],
      reconnection: true,
      reconnectionDelay: 10,
    })
    await child.message('upgrade')
    await register(child)
    await connected(socket).catch(() => event(socket, 'connect'))
    assert.equal(await socket.emitWithAck('port'), port)
  })

  test('closes such an upgrade also after an answered request on the same connection', async (t) => {
    const child = run(t, 'registered', {})
    const { port } = await child.message('ports')
    const socket = connectTcp(port, '127.0.0.1')
    t.after(() => socket.destroy())
    socket.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
    await event(socket, 'data')
    socket.write(handshakeText('websocket'))
    await child.message('upgrade')
    const closed = event(socket, 'close')
    await register(child)
    await closed
  })

  test('makes getIO() return its io; before, getIO() throws', async (t) => {
    const child = run(t, 'registered', {})
    const { port } = await child.message('ports')
    child.send('emit', 'news')
    const { code, message } = await child.message('emitted')
    assert.equal(code, 'ERR_UPWIRE_NOT_REGISTERED')
    assert.match(message, /instrumentation\.ts/)
    await register(child)
    child.send('emit', 'without clients')
    assert.equal(await child.message('emitted'), undefined)
    const socket = await connect(t, address(port))
    const news = event(socket, 'news')
    child.send('emit', 'news')
    await news
  })

  test('has no effect the second time in production', async (t) => {
    const child = run(t, 'registered', {})
    const { port } = await child.message('ports')
    await register(child)
    const socket = await connect(t, address(port))
    await register(child)
    assert.equal(await socket.emitWithAck('port'), port)
  })

  test('takes its path from UPWIRE_PATH', async (t) => {
    const child = run(t, 'registered', {}, { env: { ...production, UPWIRE_PATH: '/live' } })
    const { port } = await child.message('ports')
    await register(child)
    const socket = await connect(t, address(port), { path: '/live' })
    assert.equal(await socket.emitWithAck('port'), port)
  })

  test('shares the io of attach() in a custom server, in either order', async (t) => {
    const child = run(t, 'custom', {})
    assert.equal(await child.message('same'), true)
    const port = await child.message('port')
    const socket = await connect(t, address(port))
    assert.equal(socket.connected, true)
  })

  const nowhere = {
    VERCEL: 'ERR_UPWIRE_SERVERLESS',
    AWS_LAMBDA_FUNCTION_NAME: 'ERR_UPWIRE_SERVERLESS',
    NETLIFY: 'ERR_UPWIRE_SERVERLESS',
    __NEXT_PRIVATE_RENDER_WORKER: 'ERR_UPWIRE_NEXT_WORKERS',
  }
  for (const [name, code] of Object.entries(nowhere)) {
    test(`warns that it cannot work where ${name} is set`, async (t) => {
      const child = run(t, 'environment', {}, { env: { ...production, [name]: '1' } })
      assert.equal((await child.message('io')).code, code)
      assert.equal(await child.message('warning'), code)
      assert.equal((await child.end()).code, 0)
    })
  }

  test('does nothing in a build', async (t) => {
    const env = { ...production, NEXT_PHASE: 'phase-production-build' }
    const child = run(t, 'environment', {}, { env })
    assert.equal(await child.message('io'), 'undefined')
    assert.equal((await child.end()).code, 0)
  })
})

describe('an early claim', () => {
  for (const transports of [['websocket'], ['polling']]) {
    test(`holds clients until registerUpwire() is called, ${transports}`, async (t) => {
      const child = run(t, 'early', { path: '/socket.io', registeredPath: '/socket.io' })
      const port = await child.message('port')
      const socket = client(t, address(port), { transports })
      const connection = connected(socket)
      // Held requests do not delay others: the page is served.
      assert.equal(await page(port), 'page')
      child.send('register')
      await connection
      assert.equal(await socket.emitWithAck('port'), port)
    })
  }

  test('is withdrawn, with a warning, when another path is registered', async (t) => {
    const child = run(t, 'early', { path: '/socket.io', registeredPath: '/live' })
    const port = await child.message('port')
    assert.equal(await page(port), 'page')
    child.send('register')
    assert.equal(await child.message('warning'), 'UPWIRE_PATH')
    const socket = await connect(t, address(port), { path: '/live' })
    assert.equal(await socket.emitWithAck('port'), port)
    assert.equal(await page(port, '/socket.io/?EIO=4&transport=polling'), 'page')
  })

  test('gives way to the same path without a trailing slash', async (t) => {
    const child = run(t, 'early', { path: '/live', options: { addTrailingSlash: false } })
    const port = await child.message('port')
    const options = { path: '/live', addTrailingSlash: false }
    const socket = client(t, address(port), { ...options, transports: ['websocket'] })
    const connection = connected(socket)
    assert.equal(await page(port), 'page')
    child.send('register', '/live')
    await connection
  })

  test('of an API route’s path holds upgrades only, until the route has run', async (t) => {
    const path = '/api/socket'
    const child = run(t, 'early', { path })
    const port = await child.message('port')
    const socket = client(t, address(port), { path, transports: ['websocket'] })
    const connection = connected(socket)
    assert.equal(await page(port, `${path}?EIO=4&transport=polling`), 'page')
    child.send('register', path)
    await connection
  })

  test('of a path given to withUpwire() replaces the preload’s claim of the default path', async (t) => {
    const execArgv = ['--require', require.resolve('upwire/preload')]
    const child = run(t, 'early', { path: '/live' }, { execArgv })
    const port = await child.message('port')
    const socket = client(t, address(port), { path: '/live', transports: ['polling'] })
    const connection = connected(socket)
    assert.equal(await page(port, '/socket.io/?EIO=4&transport=polling'), 'page')
    child.send('register', '/live')
    await connection
  })

  test('stays for a moment while other paths are registered', async (t) => {
    const child = run(t, 'early', { path: '/socket.io' })
    const port = await child.message('port')
    const socket = client(t, address(port), { transports: ['websocket'] })
    const connection = connected(socket)
    assert.equal(await page(port), 'page')
    child.send('register', '/chat')
    await connect(t, address(port), { path: '/chat' })
    child.send('register', '/socket.io')
    await connection
    assert.equal(await socket.emitWithAck('port'), port)
  })

  test('is given up at once where registerUpwire() cannot work', async (t) => {
    const child = run(t, 'early', { path: '/socket.io' }, { env: { ...production, VERCEL: '1' } })
    const port = await child.message('port')
    assert.equal(await page(port), 'page')
    const poll = page(port, '/socket.io/?EIO=4&transport=polling')
    assert.equal(await page(port), 'page')
    child.send('register')
    assert.equal(await poll, 'page')
    assert.equal(await child.message('warning'), 'ERR_UPWIRE_SERVERLESS')
  })

  test('refuses upgrades whose client sends more than 64 KiB before the answer', async (t) => {
    const child = run(t, 'early', { path: '/socket.io' })
    const socket = connectTcp(await child.message('port'), '127.0.0.1')
    t.after(() => socket.destroy())
    socket.write(handshakeText('websocket'))
    socket.write(Buffer.alloc(100_000))
    const [answer] = await event(socket, 'data')
    assert.match(String(answer), /^HTTP\/1\.1 400 /)
  })

  test('ends the connections of clients that leave, also behind unanswered requests', async (t) => {
    const child = run(t, 'early', { path: '/socket.io' })
    const port = await child.message('port')
    for (const ahead of ['', handshakeText('polling'), handshakeText('polling').repeat(3)]) {
      const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true })
      t.after(() => socket.destroy())
      socket.write(ahead + handshakeText('websocket'))
      socket.end()
      socket.resume()
      await event(socket, 'end')
    }
  })

  test('refuses the requests that it holds when the server closes', async (t) => {
    const child = run(t, 'early', { path: '/socket.io', registeredPath: '/socket.io' })
    const port = await child.message('port')
    const socket = connectTcp(port, '127.0.0.1')
    t.after(() => socket.destroy())
    socket.write(handshakeText('websocket'))
    assert.equal(await page(port), 'page')
    const answer = event(socket, 'data')
    const late = connectTcp(port, '127.0.0.1')
    t.after(() => late.destroy())
    late.write('GET / HTTP/1.1\r\n')
    assert.equal(await page(port), 'page')
    child.send('close')
    assert.match(String((await answer)[0]), /^HTTP\/1\.1 503 .*Retry-After/s)
    late.write(`Host: x\r\n\r\n`)
    await event(late, 'data')
    late.write(handshakeText('polling'))
    assert.match(
      String((await event(late, 'data'))[0]),
      /^HTTP\/1\.1 503 .*Server is shutting down/s,
    )
    late.destroy()
    assert.equal((await child.end()).code, 0)
  })

  test('of upwire/preload gives way to attach(), too', async (t) => {
    const execArgv = ['--require', require.resolve('upwire/preload')]
    const child = run(t, 'preloaded', {}, { execArgv })
    const port = await child.message('port')
    const socket = client(t, address(port), { transports: ['websocket'] })
    const connection = connected(socket)
    assert.equal(await page(port), 'page')
    child.send('attach')
    await connection
    assert.equal(await socket.emitWithAck('port'), port)
  })
})

const FLAGS = new Set(['instrumentationHook', 'serverComponentsExternalPackages'])

/** Makes a project folder with a version of Next.js, and returns its path. */
function project(t, version) {
  const folder = mkdtempSync(join(tmpdir(), 'upwire-project-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const next = join(folder, 'node_modules/next')
  mkdirSync(next, { recursive: true })
  writeFileSync(join(next, 'package.json'), JSON.stringify({ name: 'next', version }))
  return folder
}

describe('withUpwire', () => {
  const { withUpwire } = require('upwire/next')
  const phase = 'phase-production-build'

  // No path is claimed in a build.
  before(() => {
    process.env.NEXT_PHASE = phase
  })
  after(() => {
    delete process.env.NEXT_PHASE
  })

  test('extends a config without changing the given object', async () => {
    const given = { reactStrictMode: true, serverExternalPackages: ['sharp', 'upwire'] }
    const expected = {
      reactStrictMode: true,
      serverExternalPackages: ['sharp', 'upwire', 'socket.io', 'engine.io'],
    }
    assert.deepEqual(withUpwire(given), expected)
    assert.deepEqual(await withUpwire(Promise.resolve(given)), expected)
    assert.deepEqual(withUpwire(() => given)(phase, {}), expected)
    assert.deepEqual(await withUpwire(async () => given)(phase, {}), expected)
    assert.deepEqual(given.serverExternalPackages, ['sharp', 'upwire'])
    assert.deepEqual(Object.keys(withUpwire()), ['serverExternalPackages'])
  })

  for (const [version, keys] of [
    ['12.3.7', []],
    ['13.1.6', []],
    ['13.2.4', [...FLAGS, 'outputFileTracingIncludes']],
    ['13.4.19', FLAGS],
    ['14.2.35', FLAGS],
    ['15.5.29', null],
  ]) {
    test(`sets the keys that a standalone folder of ${version} needs`, async (t) => {
      const child = run(t, 'extended', { output: 'standalone' }, { cwd: project(t, version) })
      const { experimental, serverExternalPackages } = await child.message('config')
      assert.deepEqual(new Set(Object.keys(experimental ?? {})), new Set(keys))
      assert.equal(serverExternalPackages !== undefined, keys === null)
    })
  }

  test('uses the version of Next.js that is loaded, not the one of the current folder', async (t) => {
    const folder = project(t, '14.2.35')
    const loaded = join(folder, 'node_modules/next/dist/bin/next')
    mkdirSync(dirname(loaded), { recursive: true })
    writeFileSync(loaded, '')
    const execArgv = ['--require', loaded]
    const child = run(t, 'extended', {}, { cwd: project(t, '16.4.6'), execArgv })
    assert.deepEqual(new Set(Object.keys((await child.message('config')).experimental)), FLAGS)
  })

  test('adds the chunks of 13.2 to the files that the app traces', async (t) => {
    const outputFileTracingIncludes = { '/_app': ['a'], '/b': ['b'] }
    const given = {
      output: 'standalone',
      distDir: 'out',
      experimental: { outputFileTracingIncludes },
    }
    const child = run(t, 'extended', given, { cwd: project(t, '13.2.4') })
    assert.deepEqual((await child.message('config')).experimental.outputFileTracingIncludes, {
      '/_app': ['a', 'out/server/chunks/**'],
      '/b': ['b'],
    })
  })

  test('passes the arguments of Next.js to a config function', () => {
    const context = { defaultConfig: {} }
    withUpwire((...args) => {
      assert.deepEqual(args, [phase, context])
      return {}
    })(phase, context)
  })

  test('returns a plain config for an object, wherever it is put', async () => {
    const packages = ['upwire', 'socket.io', 'engine.io']
    const wrapped = { ...withUpwire({ basePath: '/docs', name: 'x' }), pageExtensions: ['mdx'] }
    const expected = { basePath: '/docs', name: 'x', pageExtensions: ['mdx'] }
    assert.deepEqual(wrapped, { ...expected, serverExternalPackages: packages })
    assert.deepEqual(withUpwire(wrapped, null), wrapped)
    const inFunction = async (phase) => withUpwire({ env: { phase } })
    assert.deepEqual((await inFunction(phase)).env, { phase })
    assert.deepEqual((await withUpwire(inFunction)(phase, {})).env, { phase })
  })

  test('throws when a wrapper takes a function for an object, and says what to do', () => {
    const isCopied = { code: 'ERR_UPWIRE_INVALID_CONFIG', message: /around all other wrappers/ }
    for (const copy of [(config) => ({ ...config }), (config) => Object.assign({}, config)]) {
      assert.throws(() => copy(withUpwire(() => ({ basePath: '/docs' }))), isCopied)
    }
  })

  test('throws for a package that must not be transpiled, and names it', () => {
    assert.throws(() => withUpwire({ transpilePackages: ['ui', 'socket.io'] }), {
      code: 'ERR_UPWIRE_INVALID_CONFIG',
      message: /take socket\.io out of transpilePackages/,
    })
  })
})

describe('a path of upwire/next', () => {
  test('throws for a value that is not one', () => {
    const { getIO, registerUpwire, withUpwire } = require('upwire/next')
    for (const path of ['live', 5]) {
      for (const call of [
        () => withUpwire({}, { path }),
        () => registerUpwire({ path }),
        () => getIO(path),
      ]) {
        assert.throws(call, {
          code: 'ERR_UPWIRE_INVALID_OPTION',
          message: /path.* must be a string that begins with "\/", got ("live"|5)$/,
        })
      }
    }
  })
})

describe('the edge runtime', () => {
  const edge = require('../../lib/next/edge.js')

  test('has a registerUpwire() that does nothing, and other functions that throw', () => {
    assert.equal(edge.registerUpwire({}, assert.fail), undefined)
    for (const name of ['attach', 'getIO', 'socketRoute', 'withUpwire']) {
      assert.throws(() => edge[name](), { code: 'ERR_UPWIRE_EDGE', message: /Node\.js runtime/ })
    }
    assert.throws(() => new edge.Engine(), { code: 'ERR_UPWIRE_EDGE' })
  })

  test('has all exports of the package', () => {
    const names = { ...require('upwire'), ...require('upwire/next') }
    assert.deepEqual(Object.keys(edge).sort(), Object.keys(names).sort())
  })
})

describe('the render workers of Next.js 13.4', () => {
  const env = { ...production, __NEXT_PRIVATE_RENDER_WORKER: 'pages' }

  /** The status of a poll from a page of another origin, for each of three Host headers. */
  async function statuses(t, argument) {
    const child = run(t, 'rendering', argument, { env })
    const port = await child.message('port')
    const poll = async (host) => {
      const socket = connectTcp(port, '127.0.0.1')
      t.after(() => socket.destroy())
      socket.write(
        `GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: ${host}\r\nOrigin: http://10.0.0.1\r\n\r\n`,
      )
      return Number(String((await event(socket, 'data'))[0]).split(' ')[1])
    }
    return [await poll(`127.0.0.1:${port}`), await poll(`localhost:${port}`), await poll('other')]
  }

  test('accept polls whose Host is their own, because Next.js does not pass the client’s Host on', async (t) => {
    assert.deepEqual(await statuses(t, {}), [200, 200, 403])
  })

  test('refuse such polls where CORS lets the page read the answer', async (t) => {
    const strict = { options: { allowedOrigins: [] }, grants: true }
    assert.deepEqual(await statuses(t, strict), [403, 403, 403])
  })
})
