// Runs the runtime's tests (tests/threads.rs) under ThreadSanitizer: I/O threads and a thread in
// place of JavaScript, with real connections. First it must find a planted data race, so that
// silence means something. Needs a nightly toolchain with rust-src.
//
//   npm run tsan

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CommandError, fail, run } from './command.mjs'
import { NIGHTLY, missing, skip } from './nightly.mjs'
import { hostTriple } from './platform.mjs'

/** Two threads write one number without a lock. */
const RACE = `
static mut NUMBER: u64 = 0;
fn main() {
    let count = || for _ in 0..1000 { unsafe { NUMBER += 1 } };
    let other = std::thread::spawn(count);
    count();
    other.join().unwrap();
}
`
const FLAGS = '-Zsanitizer=thread'

try {
  const remedy = missing(['rust-src'])
  if (process.platform === 'win32') skip('tsan', 'no ThreadSanitizer here', 'use Linux or macOS')
  else if (remedy !== null) skip('tsan', 'no nightly Rust toolchain with rust-src', remedy)
  else {
    await findPlantedRace()
    // The standard library is instrumented as well, or its locks would be invisible.
    await run(
      `cargo +${NIGHTLY} test -Zbuild-std --target ${hostTriple()} --target-dir target/thread ` +
        '--no-default-features --features runtime --lib --test threads -- runtime:: come dropped',
      { env: { RUSTFLAGS: FLAGS, TSAN_OPTIONS: 'halt_on_error=1' } },
    )
  }
} catch (error) {
  fail(error)
}

async function findPlantedRace() {
  const folder = await mkdtemp(join(tmpdir(), 'upwire-tsan-'))
  try {
    const [source, program] = [join(folder, 'race.rs'), join(folder, 'race')]
    await writeFile(source, RACE)
    // A race of its own needs no standard library that is instrumented.
    const flags = `${FLAGS} -Cunsafe-allow-abi-mismatch=sanitizer`
    await run(`rustc +${NIGHTLY} ${flags} -o ${program} ${source}`, { show: 'failure' })
    const report = await run(program, { show: 'failure' }).then(
      () => '',
      (error) => error.message,
    )
    if (!report.includes('data race')) throw new CommandError(`no data race found\n${report}`)
    console.log('> ThreadSanitizer finds a planted data race')
  } finally {
    await rm(folder, { recursive: true })
  }
}
