// The bench: `node bench/run.mjs`. It measures every row of the targets table, stock and upwire in
// turn; see README.md in this folder.

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

import './harness/children.mjs'
import { build } from './harness/client-process.mjs'
import { describe, descriptorLimit, DISTURBING, pinning } from './harness/machine.mjs'
import { enter, isInside, shouldEnter } from './harness/network.mjs'
import { Patience } from './harness/quiet.mjs'
import { evaluate, remarks, table } from './harness/report.mjs'
import { rows } from './harness/rows.mjs'
import { Sample } from './harness/sample.mjs'
import { scenarios } from './harness/scenarios.mjs'

const { patience, rounds, selected, timing } = options()

/**
 * The server that stands for upwire. `UPWIRE_BENCH_PEER=stock` compares stock with itself and so
 * shows the bench's own noise.
 */
const upwire = process.env.UPWIRE_BENCH_PEER ?? 'upwire'
/**
 * Another built checkout that takes the place of stock, to compare two states of upwire in one run.
 */
const against = process.env.UPWIRE_BENCH_AGAINST

// Built outside: inside its own network, cargo could not download crates.
if (!isInside) await build()
if (shouldEnter()) process.exit(await enter())

const machine = describe()
const pinned = pinning()
console.log(
  `${machine.date}  ${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.kernel}, ` +
    `tcp ${machine.congestionControl}${isInside ? ' in its own network' : ''}, load ${machine.load.join(' ')}\n` +
    `Node ${machine.node}, socket.io ${machine.socketio}, engine.io ${machine.engineio}, ws ${machine.ws}\n` +
    `${rounds} rounds, ${timing.seconds} s a window; ` +
    (pinned
      ? `pinned rows: server on core ${pinned.server}, clients on core ${pinned.client}`
      : 'NOTHING IS PINNED: no taskset, or one core') +
    (upwire === 'upwire' ? '' : `\nUPWIRE IS PLAYED BY ${upwire.toUpperCase()}`) +
    (against ? `\n"stock" IS UPWIRE IN ${against}; the targets do not apply` : ''),
)

const samples = []
const skipped = new Map()
const names = selected.map((row) => row.id).filter(allowed)
for (let round = 0; round < rounds; round++) {
  for (const scenario of names) {
    // The order alternates, so that drift of the machine affects both peers alike.
    const order = round % 2 ? ['upwire', 'stock'] : ['stock', 'upwire']
    for (const peer of order) samples.push(await take(scenario, peer, round))
  }
}

const results = selected.map((row) =>
  skipped.has(row.id)
    ? { id: row.id, title: row.title, unit: row.unit, skipped: skipped.get(row.id) }
    : evaluate(row, roundsOf(row.id)),
)
console.log(`\n${table(results, pinned)}\n`)
for (const line of remarks(results, samples)) console.log(line)

const file = new URL('results.json', import.meta.url)
writeFileSync(
  file,
  `${JSON.stringify({ machine, pinned, rounds, timing, results, samples }, null, 2)}\n`,
)
process.exit(samples.some(({ error }) => error) ? 1 : 0)

/**
 * Takes one sample, and repeats it while patience lasts if something else used the machine. The
 * quietest sample counts.
 */
async function take(scenario, peer, round) {
  const others = ({ figures }) => figures?.othersShare ?? 0
  let quietest
  for (let attempt = 0; attempt < 3; attempt++) {
    await patience.untilQuiet()
    const started = performance.now()
    const entry = await attemptOnce(scenario, peer, round)
    if (entry.error) return entry
    if (!quietest || others(entry) < others(quietest)) quietest = entry
    if (others(quietest) <= DISTURBING || !patience.isLeft) break
    patience.spend((performance.now() - started) / 1000)
  }
  return quietest
}

async function attemptOnce(scenario, peer, round) {
  const started = performance.now()
  const entry = { scenario, peer, round }
  try {
    const played = peer === 'upwire' ? upwire : peer
    entry.figures = await Sample.take(played, scenarios[scenario], { pinning: pinned, timing })
  } catch (error) {
    entry.error = error.message
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stderr.write(
    `round ${round + 1}  ${scenario.padEnd(17)} ${peer.padEnd(7)} ${seconds} s  ${brief(entry)}\n`,
  )
  return entry
}

function brief({ scenario, figures, error }) {
  if (error) return `FAILED: ${error}`
  const row = rows.find(({ id }) => id === scenario)
  const disturbed = figures.othersShare > DISTURBING ? ', disturbed' : ''
  return `${row.value(figures)?.toFixed(3)} ${row.unit}${disturbed}`
}

function roundsOf(scenario) {
  return Array.from({ length: rounds }, (_, round) =>
    Object.fromEntries(
      samples
        .filter((sample) => sample.scenario === scenario && sample.round === round)
        .map(({ peer, figures, error }) => [peer, error ? { error } : figures]),
    ),
  )
}

function allowed(scenario) {
  const needed = scenarios[scenario].descriptors ?? 0
  const limit = descriptorLimit()
  if (limit >= needed) return true
  skipped.set(scenario, `${needed} descriptors needed, ulimit -Hn is ${limit}`)
  process.stderr.write(`SKIPPED ${scenario}: ${skipped.get(scenario)}\n`)
  return false
}

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      patience: { type: 'string', default: '120' },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
    },
  })
  const ids = values.only?.split(',')
  const unknown = ids?.filter((id) => !rows.some((row) => row.id === id)) ?? []
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
  const seconds = Number(values.seconds ?? (values.quick ? 1 : 3))
  if (unknown.length > 0 || !(rounds >= 1) || !(seconds > 0)) {
    console.error(`usage: node bench/run.mjs [--rounds N] [--seconds N] [--patience N] [--quick] [--only row,row]
rows: ${rows.map((row) => row.id).join(', ')}`)
    process.exit(2)
  }
  return {
    patience: new Patience(Number(values.patience)),
    rounds,
    selected: ids ? rows.filter((row) => ids.includes(row.id)) : rows,
    timing: {
      seconds,
      warmUp: values.quick ? 0.5 : 1,
      idle: values.quick ? { base: 500, more: 2_000 } : { base: 1_000, more: 5_000 },
    },
  }
}
