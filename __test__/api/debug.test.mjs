// What an app's developer sees with DEBUG=upwire*, and the states that bug reports contain.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Engine } from 'upwire'
import { enginePair } from '../support/clients.mjs'
import { event, until } from '../support/events.mjs'
import { serveEngine } from '../support/servers.mjs'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Attaches, lets one request be refused, leaves one upgrade without an owner, and closes. */
const PROGRAM = `
  import { createServer, request } from 'node:http'
  import { attach } from 'upwire'

  const server = createServer((req, res) => res.end())
  const io = attach(server, { destroyUpgradeTimeout: 50 })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  const url = \`http://127.0.0.1:\${port}\`
  const query = 'EIO=4&transport=polling&sid=a-secret-sid&token=a-secret-token'
  await fetch(\`\${url}/socket.io/?\${query}\`)
  await fetch(\`\${url}/socket.io/?EIO=4&transport=websocket\`)
  const headers = { Connection: 'Upgrade', Upgrade: 'websocket' }
  await new Promise((resolve) => {
    request({ port, host: '127.0.0.1', path: '/elsewhere', headers }, resolve).end()
  })
  await io.close()
  process.exit()
`

/** One session upgrades and is closed by its client; the WebSocket of another one closes unprobed. */
const SESSIONS = `
  import { once } from 'node:events'
  import { createServer, request } from 'node:http'
  import { Socket } from 'engine.io-client'
  import { Engine } from 'upwire'

  const server = createServer()
  const engine = Engine.attach(server)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  const connect = async (transports) => {
    const client = new Socket(\`http://127.0.0.1:\${port}\`, { transports })
    const [session] = await once(engine, 'connection')
    return { client, session }
  }

  const first = await connect(['polling', 'websocket'])
  await once(first.session, 'upgrade')
  first.client.close()
  await once(first.session, 'close')

  const second = await connect(['polling'])
  const path = \`/engine.io/?EIO=4&transport=websocket&sid=\${second.session.id}\`
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
  }
  const [, socket] = await once(
    request({ port, host: '127.0.0.1', path, headers }).end(),
    'upgrade',
  )
  socket.destroy()
  while (second.session.upgrading) await new Promise(setImmediate)
  engine.close()
  console.error('ids', first.session.id, second.session.id)
  process.exit()
`

async function run(DEBUG, program = PROGRAM) {
  const env = { ...process.env, DEBUG }
  const args = ['--input-type=module', '--eval', program]
  const { stderr } = await promisify(execFile)(process.execPath, args, {
    cwd: root,
    env,
    timeout: 30_000,
  })
  return stderr
}

test('DEBUG=upwire* prints refusals with their reason, and the life of a claimed path', async () => {
  const output = await run('upwire*')
  const refusal =
    /upwire:handshake refused GET \/socket\.io\/\?EIO=4&transport=polling&sid=\S*&token=\S* from 127\.0\.0\.1 with 400: code 1 \(Session ID unknown\)/
  assert.match(output, refusal)
  assert.ok(!output.includes('a-secret'), output)
  assert.match(
    output,
    /TRANSPORT_HANDSHAKE_ERROR, it asks for WebSocket but is no upgrade: a proxy may/,
  )
  assert.match(output, /upwire:http claimed \/socket\.io\//)
  assert.match(output, /upwire:http passed an upgrade from 127\.0\.0\.1 to the other listeners/)
  assert.match(output, /upwire:http refused an upgrade from 127\.0\.0\.1 with 404: no owner/)
  assert.match(output, /upwire:http the server of \/socket\.io\/ closes/)
})

test('DEBUG=upwire* prints the start, the upgrade and the end of sessions, with shortened ids', async () => {
  const output = await run('upwire:session,upwire:upgrade', SESSIONS)
  const [, one, two] = output.match(/^ids (\S+) (\S+)$/m)
  assert.equal(output.split(one).length, 2, 'no line but the last has an id')
  const lines = [
    ['session', one, 'opened: polling from 127\\.0\\.0\\.1'],
    ['upgrade', one, 'a WebSocket is probed'],
    ['upgrade', one, 'the probe was answered'],
    ['upgrade', one, 'upgraded after \\d+ ms'],
    ['session', one, 'closed: transport close \\(ERR_UPWIRE_PEER_CLOSED\\) after \\d+ ms'],
    ['upgrade', two, 'failed before its probe after \\d+ ms: the WebSocket was closed'],
    ['session', two, 'closed: forced close \\(ERR_UPWIRE_SHUTDOWN\\) after \\d+ ms'],
  ]
  for (const [area, id, text] of lines) {
    assert.match(output, new RegExp(`upwire:${area} ${id.slice(0, 4)}…:? ${text}`))
  }
})

test("a session's debugState() is plain, and has a shortened id", async (t) => {
  const { near, far } = await enginePair(t, await serveEngine(t), { transports: ['polling'] })
  await until(() => far.transport.writable, 'a GET to be parked')
  const state = far.debugState()
  assert.deepEqual(JSON.parse(JSON.stringify(state)), state)
  const { age, ...rest } = state
  assert.ok(age >= 0)
  assert.deepEqual(rest, {
    id: `${far.id.slice(0, 4)}…`,
    readyState: 'open',
    transport: 'polling',
    upgrading: false,
    upgraded: false,
    waitingMessages: 0,
    waitingBytes: 0,
    remoteAddress: '127.0.0.1',
    requests: { isGetParked: true, post: null, answersLeaving: 0 },
  })
  near.close()
  await event(far, 'close')
  assert.equal(far.debugState().readyState, 'closed')
})

test('without DEBUG nothing is printed', async () => {
  assert.equal(await run(''), '')
})

test("an engine's debugState() is plain, and shows changed options without functions", () => {
  const engine = new Engine({
    allowRequest: () => {},
    allowedOrigins: ['https://app.example', /^https:/],
    pingInterval: 20_000,
    pingTimeout: 20_000,
  })
  const state = engine.debugState()
  assert.deepEqual(JSON.parse(JSON.stringify(state)), state)
  assert.equal(state.state, 'open')
  assert.deepEqual(state.options, {
    allowRequest: '[function]',
    allowedOrigins: ['https://app.example', '/^https:/'],
    pingInterval: 20_000,
  })
  assert.deepEqual(state.sessions, { polling: {}, websocket: {} })
  assert.deepEqual(state.stats, engine.stats())
  engine.close()
  assert.equal(engine.debugState().state, 'closed')
})
