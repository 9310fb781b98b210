// Turns samples into the table: medians of each peer, ratios per pair, targets.

import { DISTURBING } from './machine.mjs'
import { FANOUT_RATE, scenarios } from './scenarios.mjs'
import { median, range } from './statistics.mjs'

const HEAD = [
  'row',
  'pinned',
  'unit',
  'stock',
  'upwire',
  'ratio',
  'min to max',
  'CPU s per 1M: stock',
  'upwire',
  'GET p50/p99 ms: stock',
  'upwire',
  'First',
  'verdict',
]

/**
 * One row's figures from the rounds of its scenario, each `{ stock, upwire }` with figures or `{
 * error }`.
 */
export function evaluate(row, rounds) {
  const side = (peer, value) =>
    rounds.map((round) => (round[peer]?.error ? undefined : value(round[peer] ?? {})))
  const stock = side('stock', row.value)
  const upwire = side('upwire', row.value)
  const ratios = stock.map((value, round) => upwire[round] / value).filter(Number.isFinite)
  const both = (value) => ({
    stock: median(side('stock', value)),
    upwire: median(side('upwire', value)),
  })
  const result = {
    id: row.id,
    title: row.title,
    unit: row.unit,
    stock: median(stock),
    upwire: median(upwire),
    ratio: median(ratios),
    ratioRange: range(ratios),
    // Microseconds per message are seconds per million messages.
    cpuSecondsPerMillion: both(({ cpu }) => cpu),
    getP50: both(({ get }) => get?.p50),
    getP99: both(({ get }) => get?.p99),
    serverShare: both(({ serverShare }) => serverShare),
    clientShare: both(({ clientShare }) => clientShare),
    target: row.limit === undefined ? { ratioAtMost: row.atMost } : { atMost: row.limit },
    failed: rounds.some((round) => round.stock?.error || round.upwire?.error),
  }
  const [figure, bound] =
    row.limit === undefined ? [result.ratio, row.atMost] : [result.upwire, row.limit]
  result.met = !result.failed && Number.isFinite(figure) ? figure <= bound : undefined
  return result
}

export function table(results, pinned) {
  const lines = results.map((result) => {
    if (result.skipped) return [result.title, '', result.unit, `SKIPPED: ${result.skipped}`]
    const { cpuSecondsPerMillion: cpu, getP50, getP99, target } = result
    return [
      result.title,
      mode(result.id, pinned),
      result.unit,
      number(result.stock),
      number(result.upwire),
      number(result.ratio),
      result.ratioRange ? result.ratioRange.map(number).join(' to ') : '-',
      number(cpu.stock),
      number(cpu.upwire),
      `${number(getP50.stock)} / ${number(getP99.stock)}`,
      `${number(getP50.upwire)} / ${number(getP99.upwire)}`,
      `≤ ${target.ratioAtMost ?? `${target.atMost} ${result.unit}`}`,
      result.failed ? 'FAILED' : result.met ? 'met' : 'not met',
    ]
  })
  const widths = HEAD.map((head, at) =>
    Math.max(
      head.length,
      ...lines.filter((line) => line.length === HEAD.length).map((line) => line[at].length),
    ),
  )
  const print = (cells) =>
    cells.length < HEAD.length
      ? `| ${cells.filter(Boolean).join(' | ')} |`
      : `| ${cells.map((cell, at) => cell.padEnd(widths[at])).join(' | ')} |`
  return [
    print(HEAD),
    `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`,
    ...lines.map(print),
  ].join('\n')
}

/** What a reader must know to trust the table, and what casts doubt on it. */
export function remarks(results, samples) {
  const rates = Object.entries(FANOUT_RATE).map(([clients, rate]) => `${rate}/s to ${clients}`)
  const lines = [`paced fan-out, both peers: ${rates.join(', ')}`]
  for (const { id, serverShare, clientShare } of results.filter(({ clientShare }) => clientShare)) {
    for (const peer of ['stock', 'upwire']) {
      const [server, client] = [serverShare[peer], clientShare[peer]]
      const costly = client > server
      if (id === 'echo-8' || costly) {
        lines.push(
          `${id}, ${peer}: server ${percent(server)} of a core, client ${percent(client)}` +
            (costly ? ' (the client costs more than the server)' : ''),
        )
      }
    }
  }
  for (const { scenario, round, peer, figures } of samples) {
    const wanted = FANOUT_RATE[scenario.split('-').at(-1)]
    if (figures?.rate < wanted * 0.95) {
      lines.push(
        `${scenario}, ${peer}, round ${round + 1}: only ${figures.rate.toFixed(1)} broadcasts/s`,
      )
    }
  }
  for (const { scenario, round, peer, figures } of samples) {
    if (figures?.othersShare > DISTURBING) {
      const share = percent(figures.othersShare)
      lines.push(
        `${scenario}, ${peer}, round ${round + 1}: disturbed, others used ${share} of a core`,
      )
    }
  }
  for (const { scenario, round, peer, error } of samples.filter(({ error }) => error)) {
    lines.push(`FAILED ${scenario}, ${peer}, round ${round + 1}: ${error}`)
  }
  return lines
}

function mode(scenario, pinned) {
  return scenarios[scenario].pinned && pinned ? `core ${pinned.server}` : 'no'
}

const percent = (share) => `${Math.round(share * 100)} %`

/** Three significant digits. */
function number(value) {
  if (!Number.isFinite(value)) return '-'
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toFixed(Math.min(digits, 4))
}
