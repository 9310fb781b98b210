// Connecting and disconnecting, again and again: descriptors and memory are freed. UPWIRE_CYCLES
// sets how often; the full run is 50,000.

import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { describe, test } from 'node:test'
import { Socket as EngineClient } from 'engine.io-client'
import { start } from '../support/child.mjs'
import { until, within } from '../support/events.mjs'

const programs = new URL('./programs.mjs', import.meta.url)

const CYCLES = Number(process.env.UPWIRE_CYCLES ?? 10_000)
/** Cycles after which memory has reached its level. */
const SETTLED = 5000
const AT_ONCE = 16
const WARM_UP = 200
const MiB = 1024 * 1024
/** How much memory may grow from there to the end. */
const GROWTH = 5 * MiB
/** The ports of one address would run out: each closed connection keeps one for a while. */
const ADDRESSES = Array.from({ length: 8 }, (_, n) => `127.0.0.${n + 2}`)

/** How each of ten cycles connects. */
const KINDS = [
  ...Array(7).fill({ transports: ['websocket'] }),
  { transports: ['polling'] },
  { transports: ['polling', 'websocket'], settles: 'websocket' },
  { transports: ['websocket'], isRude: true },
]

/** One client: it connects, has one message echoed, and leaves. */
function cycle(url, n) {
  const { isRude, settles, ...kind } = KINDS[n % KINDS.length]
  const localAddress = ADDRESSES[n % ADDRESSES.length]
  const agent = kind.transports[0] === 'polling' ? new Agent({ localAddress }) : undefined
  return within(
    new Promise((resolve, reject) => {
      const near = new EngineClient(url, { ...kind, localAddress, agent })
      near.on('open', () => near.send(`message ${n}`))
      near.on('data', (data) => {
        if (data !== `message ${n}`) return reject(new Error(`echo of ${n}: ${data}`))
        const leave = () => {
          if (isRude) near.transport.ws._socket.resetAndDestroy()
          near.close()
        }
        if (settles === undefined || near.transport.name === settles) leave()
        else near.once('upgrade', () => setImmediate(leave))
      })
      near.on('error', reject)
      near.on('close', resolve)
    }),
    `cycle ${n}`,
    20_000,
  )
}

describe('cycles', () => {
  test(`${CYCLES} connections from several addresses leave nothing behind`, {
    timeout: 900_000,
  }, async (t) => {
    // V8's young generation grows under load to tens of MiB, which would hide a leak.
    const execArgv = ['--expose-gc', '--max-semi-space-size=1']
    const child = start(t, programs, 'counting', {}, { execArgv })
    const url = `http://127.0.0.1:${await child.message('port')}`

    const run = async (from, to) => {
      let n = from
      const worker = async () => {
        while (n < to) await cycle(url, n++)
      }
      await Promise.all(Array.from({ length: AT_ONCE }, worker))
    }
    let measured
    const measure = () =>
      until(
        async () => {
          child.send('measure')
          measured = await child.message('measured', 10_000)
          return measured.clients === 0 && measured.connections === 0 ? measured : undefined
        },
        'all connections to end',
        15_000,
      ).catch((error) => {
        error.message += `: ${JSON.stringify(measured)}`
        throw error
      })

    await run(0, WARM_UP)
    const warm = await measure()
    await run(WARM_UP, SETTLED)
    const settled = await measure()
    await run(SETTLED, CYCLES)
    const end = await measure()
    const growth = end.rss - settled.rss
    for (const [name, { rss, heap, descriptors }] of Object.entries({ warm, settled, end })) {
      t.diagnostic(
        `${name}: rss ${(rss / MiB).toFixed(1)} MiB, heap ${(heap / MiB).toFixed(1)} MiB, ${descriptors} descriptors`,
      )
    }
    assert.equal(end.descriptors, warm.descriptors)
    assert.equal(settled.descriptors, warm.descriptors)
    assert.ok(growth <= GROWTH, `${(growth / MiB).toFixed(1)} MiB more than after ${SETTLED}`)
  })
})
