// python-socketio: both transports, the upgrade, binary data, acknowledgements and reconnection.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ensurePythonClient, howToGet } from '../../scripts/python3.mjs'
import { event, until, within } from '../support/events.mjs'
import { serve } from '../support/servers.mjs'

const python = ensurePythonClient()
const required = process.env.UPWIRE_REQUIRE_PYTHON === '1'
const skip = python === null && !required && `no python-socketio; to run these tests, ${howToGet}`
const PROGRAM = fileURLToPath(new URL('./python-client.py', import.meta.url))
/** Python and its packages start slowly on a loaded machine. */
const PATIENCE = 30_000

/** Runs the client; returns its process, and the lines that it prints as they come. */
function run(t, url, ...transports) {
  const child = spawn(python, [PROGRAM, url, ...transports], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill())
  const lines = []
  createInterface(child.stdout).on('line', (line) => lines.push(JSON.parse(line)))
  return { child, lines }
}

describe('python-socketio', { skip }, () => {
  for (const [transports, settles] of [
    [['polling'], 'polling'],
    [['websocket'], 'websocket'],
    [['polling', 'websocket'], 'websocket'],
  ]) {
    test(`messages, bytes and acknowledgements over ${transports}`, async (t) => {
      const { io, url } = await serve(t)
      io.on('connection', (socket) => {
        socket.on('echo', (value, bytes, ack) => ack(value, bytes))
      })
      const arrival = event(io, 'connection', PATIENCE)
      const { child, lines } = run(t, url, ...transports)
      const [socket] = await arrival
      await until(() => lines.some(([name]) => name === 'connected'), 'the client', PATIENCE)
      assert.deepEqual(lines[0], ['connected', settles])
      await until(() => socket.conn.transport.name === settles, 'the transport', PATIENCE)
      child.stdin.write('echo\n')
      await until(() => lines.length > 1, 'the answer', PATIENCE)
      assert.deepEqual(lines[1], ['echo', '€ and 🎉', [0, 1, 255]])
      socket.timeout(PATIENCE).emit('question', Buffer.from([7, 8]), (error, answer) => {
        lines.push(['answer', error, [...answer]])
      })
      await until(() => lines.some(([name]) => name === 'answer'), 'its ack', PATIENCE)
      assert.deepEqual(lines.at(-1), ['answer', null, [8, 7]])
      const closed = event(socket, 'disconnect', PATIENCE)
      child.stdin.write('disconnect\n')
      // It closes its connection in a race with its last packet, on the stock engine too.
      const reasons = ['client namespace disconnect', 'transport close']
      assert.ok(reasons.includes((await closed)[0]))
      const [code] = await within(once(child, 'exit'), 'the client to end', PATIENCE)
      assert.equal(code, 0)
    })
  }

  test('it answers pings, and reconnects after its connection was cut', async (t) => {
    const { io, url } = await serve(t, { pingInterval: 200, pingTimeout: 10_000 })
    const first = event(io, 'connection', PATIENCE)
    const { lines } = run(t, url, 'websocket')
    const [socket] = await first
    await event(socket.conn, 'heartbeat', PATIENCE)
    await until(() => lines.length === 1, 'the client', PATIENCE)
    const second = event(io, 'connection', PATIENCE)
    socket.conn.close(true)
    const [next] = await second
    assert.notEqual(next.id, socket.id)
    await until(() => lines.length === 2, 'the client to be connected again', PATIENCE)
    assert.deepEqual(lines, [
      ['connected', 'websocket'],
      ['connected', 'websocket'],
    ])
  })
})
