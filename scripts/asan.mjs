// Runs the JavaScript tests on an addon built with AddressSanitizer, and fails for every error and
// every leak in the addon. First it must find a planted overflow and a planted leak, so that
// silence means something. Needs Linux, gcc's libasan and a nightly toolchain.
//
//   npm run asan                   __test__/wire, __test__/clients and __test__/api
//   npm run asan -- frames limits  the test files with one of these in their path
//
// The sanitizer's runtime is loaded before Node (LD_PRELOAD), also into every process that a test
// starts. Each process writes its findings to a file of its own, which is read after the tests.

import { execFileSync } from 'node:child_process'
import { copyFile, mkdir, readFile, readdir, rm } from 'node:fs/promises'
import { existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { CommandError, fail, root, run } from './command.mjs'
import { NIGHTLY, missing, skip } from './nightly.mjs'
import { hostTriple, libraryName } from './platform.mjs'

const FOLDER = join(root, 'target', 'asan')
const REPORTS = join(FOLDER, 'reports')
const FLAGS = '-Zsanitizer=address'
const SUPPRESSIONS = join(root, 'scripts', 'sanitizers', 'leaks.txt')
/**
 * Test files that measure times that the sanitizer changes, each with its reason. Their failures
 * are printed but do not count; reports of the sanitizer do.
 */
const TIMED = JSON.parse(await readFile(join(root, 'scripts', 'sanitizers', 'timed.json'), 'utf8'))

try {
  const remedy = missing()
  const library = process.platform === 'linux' ? preload() : null
  if (process.platform !== 'linux') skip('asan', 'the runtime is preloaded', 'use Linux')
  else if (remedy !== null) skip('asan', 'no nightly Rust toolchain', remedy)
  else if (library === null) skip('asan', 'no libasan', 'install gcc (Debian: apt-get install gcc)')
  else await asan(library, process.argv.slice(2))
} catch (error) {
  fail(error)
}

/** gcc's AddressSanitizer as a library: rustc has it only for programs. */
function preload() {
  try {
    const path = execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim()
    return existsSync(path) ? path : null
  } catch {
    return null
  }
}

async function asan(library, wanted) {
  const env = {
    LD_PRELOAD: library,
    ASAN_OPTIONS: `detect_leaks=1:log_path=${join(REPORTS, 'report')}`,
    // Leaks are judged after the tests; they must not change how a process ends.
    LSAN_OPTIONS: `exitcode=0:suppressions=${SUPPRESSIONS}:print_suppressions=0`,
  }
  await mkdir(FOLDER, { recursive: true })
  await findPlanted(env)
  await build()
  const files = testFiles(wanted)
  if (files.length === 0)
    throw new CommandError(`no test file has ${wanted.join(' or ')} in its path`)
  await freshReports()
  const tests = {
    ...env,
    NAPI_RS_NATIVE_LIBRARY_PATH: join(FOLDER, 'upwire.node'),
    UPWIRE_SLOWDOWN: '8',
  }
  const failures = []
  for (const file of files) {
    const error = await run(`node --test ${file}`, { env: tests, show: 'failure' }).catch(
      (error) => error,
    )
    const failed = error instanceof Error
    console.log(`${failed ? 'FAILED' : 'passed'} ${file}`)
    if (failed && file in TIMED) console.log(`  does not count: ${TIMED[file]}`)
    else if (failed) failures.push(error)
  }
  const found = await reports()
  for (const report of found) console.error(report)
  for (const failure of failures) console.error(failure.message)
  if (found.length > 0 || failures.length > 0) {
    throw new CommandError(`asan: ${found.length} reports, ${failures.length} test files failed`)
  }
  console.log(`\nasan: nothing found in ${files.length} test files`)
}

async function freshReports() {
  await rm(REPORTS, { recursive: true, force: true })
  await mkdir(REPORTS, { recursive: true })
}

async function reports() {
  const files = await readdir(REPORTS)
  const texts = await Promise.all(files.map((file) => readFile(join(REPORTS, file), 'utf8')))
  return texts.map(ours).filter((text) => text !== '')
}

/**
 * From a report, every error and the leaks of the addon; Node and V8 keep much memory when they
 * end.
 */
function ours(report) {
  if (!report.includes('ERROR: LeakSanitizer')) return report.includes('ERROR:') ? report : ''
  const leaks = report.match(/^(Direct|Indirect) leak of [\s\S]*?\n\n/gm) ?? []
  return leaks.filter(isOurs).join('')
}

/** Whether the addon made the allocation, itself or through Node-API, and V8 did not. */
function isOurs(leak) {
  const frames = leak.match(/^ +#\d+ .*/gm) ?? []
  const decisive = frames.find((frame) =>
    /6upwire|7planted|planted\.node| v8::| node::/.test(frame),
  )
  return decisive !== undefined && /6upwire|7planted|planted\.node/.test(decisive)
}

/** Finds a heap overflow and a leak in an addon that contains nothing else. */
async function findPlanted(env) {
  const addon = join(FOLDER, 'planted.node')
  const source = join('scripts', 'sanitizers', 'planted.rs')
  await run(
    `rustc +${NIGHTLY} ${FLAGS} --edition 2024 -g --crate-type cdylib -o ${addon} ${source}`,
    { show: 'failure' },
  )
  for (const [planted, sign] of [
    ['overflow', 'heap-buffer-overflow'],
    ['leak', 'leak of 1234500 byte(s)'],
    ['nothing', null],
  ]) {
    await freshReports()
    const load = `process.dlopen({exports:{}},${JSON.stringify(addon)})`
    await run(`node -e ${load}`, { env: { ...env, PLANTED: planted }, show: 'failure' }).catch(
      () => {},
    )
    const found = (await reports()).join('\n')
    if (sign === null ? found !== '' : !found.includes(sign)) {
      throw new CommandError(`asan: with ${planted} planted it found: ${found || 'nothing'}`)
    }
  }
  console.log('> AddressSanitizer finds a planted overflow, and LeakSanitizer a planted leak')
}

async function build() {
  const triple = hostTriple()
  console.log('> Building the addon with AddressSanitizer')
  await run(`cargo +${NIGHTLY} build --lib --target ${triple} --target-dir target/address`, {
    env: { RUSTFLAGS: FLAGS },
    show: 'failure',
  })
  const built = join(root, 'target', 'address', triple, 'debug', libraryName)
  await copyFile(built, join(FOLDER, 'upwire.node'))
}

function testFiles(wanted) {
  const files = ['wire', 'clients', 'api'].flatMap((folder) => {
    const names = readdirSync(join(root, '__test__', folder)).sort()
    return names.map((name) => join(root, '__test__', folder, name))
  })
  return files
    .map((file) => relative(root, file))
    .filter((file) => file.endsWith('.test.mjs'))
    .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
}
