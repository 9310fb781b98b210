// Runs the matrix: versions of Next.js × ways to use upwire.
//
//   npm run test:next                       all cells that have not passed before
//   npm run test:next -- 16 "pages start"   the cells of these versions with this text in their name
//   --fresh         also run cells that have passed before
//   --no-pack       use the packages that were packed before
//   --tree          use the files of the working tree, without packing them
//   --list          list the cells without running them
//   --table FILE    also write the table to a file
//
// Projects, logs and results are kept in UPWIRE_NEXT_CACHE, or ~/.cache/upwire/next.

import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { fail } from '../../scripts/command.mjs'
import { runCell } from './cell.mjs'
import { problems } from './expected.mjs'
import { cache, install } from './project.mjs'
import { Results } from './results.mjs'
import { cells } from './shapes.mjs'
import { table } from './table.mjs'
import { placeUpwire, prepareUpwire } from './upwire.mjs'
import { versions } from './versions.mjs'

const AT_A_TIME = 2

const { values: flags, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    fresh: { type: 'boolean' },
    list: { type: 'boolean' },
    'no-pack': { type: 'boolean' },
    table: { type: 'string' },
    tree: { type: 'boolean' },
  },
})
const chosen = cells.filter(isChosen)
const found = new Map()

try {
  if (chosen.length === 0) throw new Error(`no cell is called ${names.join(' ')}`)
  if (flags.list) list()
  else await main()
} catch (error) {
  fail(error)
}

function list() {
  for (const { name } of chosen) console.log(name)
}

async function main() {
  const source = flags.tree ? 'tree' : flags['no-pack'] ? 'packed' : 'pack'
  const upwire = await prepareUpwire(cache, source)
  const waiting = versions.filter((version) => chosen.some((cell) => cell.version === version))
  const runNext = async () => {
    for (let version; (version = waiting.shift()); ) await runVersion(version, upwire)
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, runNext))

  const text = table(chosen, found)
  console.log(`\n${text}`)
  if (flags.table) writeFileSync(resolve(process.env.INIT_CWD ?? '.', flags.table), text)
  const failed = chosen.filter((cell) => problems(cell, found.get(cell.name)).length > 0)
  console.log(`${chosen.length - failed.length} cells passed, ${failed.length} failed`)
  process.exit(failed.length > 0 ? 1 : 0)
}

async function runVersion(version, upwire) {
  const project = await install(version)
  placeUpwire(project, upwire)
  const results = new Results(project, upwire)
  for (const cell of chosen.filter((cell) => cell.version === version)) {
    const before = flags.fresh ? undefined : results.get(cell)
    const passed = problems(cell, before)?.length === 0
    const result = passed ? before : await runCell(cell, project, upwire)
    if (!passed) results.set(cell, result)
    found.set(cell.name, result)
    report(cell, result, passed)
  }
}

function report(cell, result, passed) {
  const wrong = problems(cell, result)
  const time = passed ? 'before' : `${(result.ms / 1000).toFixed(1)} s`
  console.log(`${wrong.length === 0 ? 'ok  ' : 'FAIL'} ${cell.name} (${time})`)
  for (const problem of wrong) console.log(`       ${problem}`)
}

/** Names that begin with a digit are versions; others are parts of a cell's name. */
function isChosen({ name, version }) {
  const [wantedVersions, wantedCells] = [/^\d/, /^\D/].map((pattern) =>
    names.filter((wanted) => pattern.test(wanted)),
  )
  const isIn = (wanted, test) => wanted.length === 0 || wanted.some(test)
  return (
    isIn(wantedVersions, (wanted) => `${version.next}.`.startsWith(`${wanted}.`)) &&
    isIn(wantedCells, (wanted) => name.includes(wanted))
  )
}
