// What an app's developer sees with DEBUG=upwire*, and the states that bug reports contain.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Engine } from 'upwire'

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
  const headers = { Connection: 'Upgrade', Upgrade: 'websocket' }
  await new Promise((resolve) => {
    request({ port, host: '127.0.0.1', path: '/elsewhere', headers }, resolve).end()
  })
  await io.close()
  process.exit()
`

async function run(DEBUG) {
  const env = { ...process.env, DEBUG }
  const args = ['--input-type=module', '--eval', PROGRAM]
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
  assert.match(output, /upwire:http claimed \/socket\.io\//)
  assert.match(output, /upwire:http passed an upgrade from 127\.0\.0\.1 to the other listeners/)
  assert.match(output, /upwire:http refused an upgrade from 127\.0\.0\.1 with 404: no owner/)
  assert.match(output, /upwire:http the server of \/socket\.io\/ closes/)
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
