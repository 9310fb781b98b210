// Next.js 14 proxies an upgrade with an absolute-form target to the host that the target names
// (CVE-2026-44578, not fixed there). With upwire on the server, such an upgrade never reaches Next.js.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { before, describe, test } from 'node:test'
import { command } from './cell.mjs'
import { cache, install, prepareApp } from './project.mjs'
import { cells } from './shapes.mjs'
import { placeUpwire, prepareUpwire } from './upwire.mjs'
import { Child } from '../support/child.mjs'
import { within } from '../support/events.mjs'
import { freePort } from '../support/ports.mjs'

const PATIENCE = 30_000

describe('an upgrade with an absolute-form target on Next.js 14', { timeout: 4 * 60_000 }, () => {
  const base = cells.find(({ name }) => name.startsWith('14.2.35 custom dev plain upgrades-none '))
  let upwire
  let project

  before(async () => {
    upwire = await prepareUpwire(cache, 'tree')
    project = await install(base.version)
    placeUpwire(project, upwire)
  })

  /** Sends such an upgrade, and returns its answer and the app's output. */
  async function ask(t, server = base.shape.server) {
    const cell = { ...base, shape: { ...base.shape, server } }
    await prepareApp(cell, project, upwire, 180_000)
    const port = await freePort()
    const app = new Child(...command(cell, project, port))
    t.after(() => app.kill())
    await app.says(/> ready/, PATIENCE)
    // Next.js adds its listener for upgrades at the first request.
    assert.match(await (await fetch(`http://localhost:${port}`)).text(), /The page/)

    const socket = connect(port, 'localhost')
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    socket.write(
      'GET http://127.0.0.1/private HTTP/1.1\r\nHost: localhost\r\n' +
        'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    )
    const [answer] = await within(once(socket, 'data'), 'an answer', PATIENCE)
    return { answer: String(answer), output: app.output }
  }

  test('is proxied without upwire', async (t) => {
    const without = (cell) =>
      base.shape.server(cell).replace('attach(server, options)', '{ on() {} }')
    const { answer, output } = await ask(t, without)
    // Another program of this machine may answer there, though none should.
    assert.match(answer + output, /Failed to proxy http:|^HTTP\/1\.1 (?!400)/)
  })

  test('gets 400 with upwire, and does not reach Next.js', async (t) => {
    const { answer, output } = await ask(t)
    assert.match(answer, /^HTTP\/1\.1 400 /)
    assert.doesNotMatch(output, /proxy/)
  })
})
