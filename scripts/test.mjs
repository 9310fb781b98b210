// Builds and runs all tests; exits with 1 when one fails.
//
//   npm test                all of them
//   npm test -- browser     the test files with that word in their path, and no Rust tests
//
// UPWIRE_REQUIRE_BROWSER=1 makes missing browser tests a failure.

import { copyFile, mkdir } from 'node:fs/promises'
import { readdirSync } from 'node:fs'
import { basename, join, relative, sep } from 'node:path'
import { run as runTests } from 'node:test'
import { spec } from 'node:test/reporters'
import { ensureChromium, howToGet } from './chromium.mjs'
import { CommandError, fail, root, run } from './command.mjs'
import { libraryName } from './platform.mjs'

/** Ring 1, ring 2, the corpus of the fuzz targets, and the bench's load client. */
const RUST = [
  'cargo test --quiet --no-default-features',
  'cargo test --quiet --no-default-features --features runtime',
  'cargo test --quiet --manifest-path fuzz/Cargo.toml --no-default-features',
  'cargo test --quiet --manifest-path bench/client/Cargo.toml',
]
const FOLDERS = ['__test__', 'bench']
/** A test file that takes longer is taken to hang. */
const PATIENCE = 10 * 60_000

const wanted = process.argv.slice(2)
const total = { passed: 0, failed: 0, skipped: 0 }
/** Lines to repeat at the end. */
const remarks = []

try {
  const files = FOLDERS.flatMap((folder) => testFiles(join(root, folder))).filter(isWanted)
  if (files.length === 0)
    throw new CommandError(`no test file has ${wanted.join(' or ')} in its path`)
  if (wanted.length === 0) for (const line of RUST) await cargoTest(line)
  say('Building the addon in release mode. The first time this takes a minute or two.')
  await run('npm run --silent build', { show: 'failure' })
  const isPanic = (file) => basename(file).includes('panic')
  if (files.some((file) => file.includes(`${sep}browser${sep}`))) prepareBrowser()
  await nodeTest(files.filter((file) => !isPanic(file)))
  if (files.some(isPanic)) {
    await loadPanickingAddon()
    await nodeTest(files.filter(isPanic))
  }
} catch (error) {
  fail(error)
}

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : ''
for (const remark of remarks) console.log(`\n${remark}`)
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`)
process.exit(total.failed > 0 ? 1 : 0)

function say(text) {
  console.log(`\n> ${text}`)
}

function isWanted(file) {
  const path = relative(root, file)
  return wanted.length === 0 || wanted.some((part) => path.includes(part))
}

/** The test files of a folder, by name. */
function testFiles(folder) {
  const entries = readdirSync(folder, { withFileTypes: true })
  return entries
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .filter(({ name }) => name !== 'node_modules' && name !== 'target')
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return testFiles(path)
      return entry.name.endsWith('.test.mjs') ? [path] : []
    })
}

async function cargoTest(line) {
  say(line)
  let output
  try {
    output = await run(line)
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    console.error(error.message)
    total.failed++
    return
  }
  for (const [, passed, ignored] of output.matchAll(/ (\d+) passed; \d+ failed; (\d+) ignored/g)) {
    total.passed += Number(passed)
    total.skipped += Number(ignored)
  }
}

/** Runs test files one after another, each in a process of its own. */
async function nodeTest(files) {
  say(`node --test, ${files.length} files`)
  const events = runTests({ files, concurrency: false, timeout: PATIENCE })
  events.on('test:fail', ({ todo, details }) => {
    // The failed tests below it are counted.
    if (todo === undefined && details.error?.failureType !== 'subtestsFailed') total.failed++
  })
  events.on('test:pass', ({ skip, details }) => {
    if (skip !== undefined) total.skipped++
    else if (details.type !== 'suite') total.passed++
  })
  const report = events.compose(new spec())
  for await (const chunk of report) process.stdout.write(chunk)
}

function prepareBrowser() {
  say('Looking for Chromium')
  const path = ensureChromium()
  if (path !== null) return console.log(path)
  remarks.push(`No Chromium: the browser tests did not run. To run them, ${howToGet}.`)
  console.log(remarks.at(-1))
}

/** Builds the addon with exports that panic, apart from the one that is packed. */
async function loadPanickingAddon() {
  say('Building the addon that panics on demand')
  await run('cargo build --features test-panic', { show: 'failure' })
  const addon = join(root, 'target', 'test-panic', 'upwire.node')
  await mkdir(join(addon, '..'), { recursive: true })
  await copyFile(join(root, 'target', 'debug', libraryName), addon)
  process.env.NAPI_RS_NATIVE_LIBRARY_PATH = addon
  // Symbolizing the backtrace of a debug build takes longer than the tests wait.
  process.env.RUST_BACKTRACE = '0'
}
