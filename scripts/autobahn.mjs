// Runs the Autobahn test suite against upwire's WebSocket framing, and compares its verdicts with
// those in conformance/autobahn.json.
//
//   npm run autobahn              exits with 1 when a verdict differs or a case is missing
//   npm run autobahn -- --all     runs the cases of compression (12 and 13) as well, which takes longer
//   npm run autobahn -- --write   makes the new verdicts of the cases that ran the expected ones
//
// The echo server is conformance/echo. UPWIRE_REQUIRE_AUTOBAHN=1 makes a missing Python 2.7 a failure.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { CommandError, fail, root, run } from './command.mjs'
import { ensurePython2, howToGet } from './python2.mjs'

const SUITE = 'autobahntestsuite==25.10.1'
const CASES = 301
/** The groups of cases for compression, and how many cases there are with them. */
const COMPRESSION = ['12.*', '13.*']
const ALL_CASES = 517
const VERDICTS = join(root, 'conformance', 'autobahn.json')
const ECHO = join(root, 'conformance', 'echo')
const FOLDER = join(root, 'target', 'autobahn')
const REPORTS = join(FOLDER, 'reports')
/** Keeps the suite's packages apart from the system's. */
const packages = { PYTHONUSERBASE: join(FOLDER, 'packages') }

const { values } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})

try {
  const python = ensurePython2()
  if (python === null) {
    console.error(`\nAutobahn skipped: there is no Python 2.7. To run it, ${howToGet}.\n`)
    process.exit(process.env.UPWIRE_REQUIRE_AUTOBAHN === '1' ? 1 : 0)
  }
  await install(python)
  await run('cargo build --release', { cwd: ECHO, show: 'failure' })
  const verdicts = await judge(python)
  if (values.write) await write(verdicts)
  await compare(verdicts)
} catch (error) {
  fail(error)
}

async function install(python) {
  if (existsSync(wstest())) return
  console.log(`Installing ${SUITE} for ${python}. This takes a minute.`)
  await mkdir(FOLDER, { recursive: true })
  const quiet = { env: packages, show: 'failure' }
  await run(`${python} -m ensurepip`, quiet)
  await run(`${python} -m pip install --user --no-warn-script-location ${SUITE}`, quiet)
}

function wstest() {
  return join(packages.PYTHONUSERBASE, 'bin', 'wstest')
}

/**
 * Runs every case. Returns the suite's verdicts on each: its behaviour, and the behaviour of its
 * close.
 */
async function judge(python) {
  const server = spawn(join(ECHO, 'target', 'release', 'upwire-conformance-echo'), {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  process.on('exit', () => server.kill())
  const [port] = await once(createInterface(server.stdout), 'line')
  const spec = {
    options: { failByDrop: false },
    outdir: REPORTS,
    servers: [{ agent: 'upwire', url: `ws://127.0.0.1:${port}` }],
    cases: ['*'],
    'exclude-cases': values.all ? [] : COMPRESSION,
    'exclude-agent-cases': {},
  }
  await rm(REPORTS, { recursive: true, force: true })
  const file = join(FOLDER, 'fuzzingclient.json')
  await writeFile(file, JSON.stringify(spec))
  await run(`${python} ${wstest()} -m fuzzingclient -s ${file}`, { env: packages, show: 'failure' })
  server.kill()
  const { upwire } = JSON.parse(await readFile(join(REPORTS, 'index.json'), 'utf8'))
  return Object.fromEntries(
    Object.entries(upwire)
      .sort(([left], [right]) => left.localeCompare(right, 'en', { numeric: true }))
      .map(([name, { behavior, behaviorClose }]) => [name, `${behavior}, ${behaviorClose}`]),
  )
}

async function write(verdicts) {
  const { reasons, verdicts: earlier } = JSON.parse(await readFile(VERDICTS, 'utf8'))
  const others = Object.entries(earlier).filter(([name]) => !isSelected(name))
  const all = { ...verdicts, ...Object.fromEntries(others) }
  await writeFile(
    VERDICTS,
    `${JSON.stringify({ suite: SUITE, reasons, verdicts: all }, null, 2)}\n`,
  )
}

/** Whether this run contains a case. */
function isSelected(name) {
  return values.all || !COMPRESSION.some((group) => name.startsWith(group.slice(0, -1)))
}

async function compare(verdicts) {
  const expected = JSON.parse(await readFile(VERDICTS, 'utf8'))
  // A case whose verdict was not recorded has to be OK.
  const wantedOf = (name) => expected.verdicts[name] ?? 'OK, OK'
  const known = Object.keys(expected.verdicts).filter(isSelected)
  const names = [...new Set([...known, ...Object.keys(verdicts)])]
  const wrong = names
    .filter((name) => wantedOf(name) !== verdicts[name])
    .map((name) => `${name}: ${verdicts[name] ?? 'did not run'}, not ${wantedOf(name)}`)
  const count = Object.keys(verdicts).length
  const wanted = values.all ? ALL_CASES : CASES
  if (count !== wanted) wrong.push(`${count} cases ran, not ${wanted}`)
  const unexplained = Object.keys(verdicts).filter((name) => !isExplained(name, expected))
  if (unexplained.length > 0) wrong.push(`no reason is given for ${unexplained.join(', ')}`)
  if (wrong.length > 0) throw new CommandError(`Autobahn:\n  ${wrong.join('\n  ')}\nsee ${REPORTS}`)
  console.log(`Autobahn: ${count} cases, verdicts as expected. ${summary(verdicts)}`)
}

/** Every verdict but OK needs a reason, given for the case or for its group. */
function isExplained(name, { verdicts, reasons }) {
  if (verdicts[name] === 'OK, OK') return true
  return Object.keys(reasons).some((part) => name === part || name.startsWith(`${part}.`))
}

function summary(verdicts) {
  const counts = {}
  for (const verdict of Object.values(verdicts)) counts[verdict] = (counts[verdict] ?? 0) + 1
  return Object.entries(counts)
    .map(([verdict, count]) => `${count} × ${verdict}`)
    .join('; ')
}
