// Runs the fuzz targets of fuzz/ for a while, each starting from its committed corpus; exits with 1
// when one finds something.
//
//   npm run fuzz                      all targets, 30 seconds each
//   npm run fuzz -- session           one target
//   npm run fuzz -- session 600       one target for 600 seconds
//   npm run fuzz -- all 5             all targets, 5 seconds each
//   npm run fuzz -- all 60 --keep     also adds inputs that reach new code to the committed corpus
//
// With a nightly toolchain the targets run under AddressSanitizer, otherwise without it. `cargo
// fuzz` also works here but is not needed. An input that fails is left in fuzz/artifacts.

import { mkdir, readFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError, fail, root, run } from './command.mjs'
import { NIGHTLY, missing, skip } from './nightly.mjs'
import { hostTriple } from './platform.mjs'

const FUZZ = join(root, 'fuzz')
const LIMITS = '-timeout=10 -rss_limit_mb=1024 -max_len=4096 -len_control=20'
/** The coverage that libFuzzer observes. */
const COVERAGE = [
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '-Ccodegen-units=1',
  '--cfg=fuzzing',
]

const args = process.argv.slice(2)
const isKept = args.includes('--keep')
const [wanted = 'all', seconds = '30'] = args.filter((arg) => !arg.startsWith('--'))

try {
  if (process.platform === 'win32') {
    skip('fuzz', 'libFuzzer is built for Unix here', 'use Linux or macOS')
    process.exit(0)
  }
  const targets = await targetNames()
  const chosen = targets.filter((name) => wanted === 'all' || name === wanted)
  if (chosen.length === 0) throw new CommandError(`no target ${wanted}: ${targets.join(', ')}`)
  if (!/^\d+$/.test(seconds)) throw new CommandError(`${seconds} is not a number of seconds`)
  const folder = await build(chosen)
  for (const name of chosen) await fuzz(folder, name)
} catch (error) {
  fail(error)
}

async function targetNames() {
  const files = await readdir(join(FUZZ, 'fuzz_targets'))
  return files.map((file) => file.replace('.rs', '')).sort()
}

/** Builds the targets and returns their folder. */
async function build(names) {
  const remedy = missing()
  if (remedy !== null) skip('fuzz under AddressSanitizer', 'no nightly Rust toolchain', remedy)
  const flags = remedy === null ? [...COVERAGE, '-Zsanitizer=address'] : COVERAGE
  const cargo = remedy === null ? `cargo +${NIGHTLY}` : 'cargo'
  const folder = join('target', remedy === null ? 'address' : 'plain')
  const triple = hostTriple()
  const bins = names.map((name) => `--bin ${name}`).join(' ')
  console.log('> Building the fuzz targets. The first time this takes a minute or two.')
  await run(`${cargo} build --release --target ${triple} --target-dir ${folder} ${bins}`, {
    cwd: FUZZ,
    env: { RUSTFLAGS: flags.join(' ') },
    show: 'failure',
  })
  return join(folder, triple, 'release')
}

async function fuzz(folder, name) {
  const corpus = join('corpus', name)
  const found = join('target', 'found', name)
  const artifacts = join('artifacts', name)
  for (const path of [corpus, found, artifacts]) await mkdir(join(FUZZ, path), { recursive: true })
  const program = join(FUZZ, folder, name)
  const line = `${program} ${LIMITS} -max_total_time=${seconds} -artifact_prefix=${artifacts}/`
  const options = { cwd: FUZZ, show: 'failure', with: 'stderr' }
  const output = await run(`${line} ${found} ${corpus}`, options).catch(tell)
  const [, count] = output.match(/Done (\d+) runs/) ?? []
  if (count === undefined) throw new CommandError(`${name}: no runs were counted\n${output}`)
  const files = await readdir(join(FUZZ, corpus))
  console.log(`${name}: ${count} inputs from a corpus of ${files.length}, nothing found`)
  if (isKept) await keep(program, corpus, found)
}

/** Replaces the corpus by the smallest inputs that reach everything the old and new ones reach. */
async function keep(program, corpus, found) {
  const merged = `${corpus}.merged`
  await rm(join(FUZZ, merged), { recursive: true, force: true })
  await mkdir(join(FUZZ, merged))
  await run(`${program} ${LIMITS} -merge=1 ${merged} ${corpus} ${found}`, {
    cwd: FUZZ,
    show: 'failure',
  })
  await rm(join(FUZZ, corpus), { recursive: true })
  await rename(join(FUZZ, merged), join(FUZZ, corpus))
  const files = await readdir(join(FUZZ, corpus))
  let bytes = 0
  for (const file of files) bytes += (await readFile(join(FUZZ, corpus, file))).length
  console.log(`${corpus}: ${files.length} inputs, ${bytes} bytes`)
}

/** Throws an error again, without libFuzzer's lines of progress. */
function tell(error) {
  error.message = error.message.replaceAll(/^#.*\n/gm, '')
  throw error
}
