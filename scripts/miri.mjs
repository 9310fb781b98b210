// Runs the tests of ring 1 in Miri, which finds undefined behaviour in the code they reach,
// including its crates. Needs a nightly toolchain with miri and rust-src.
//
//   npm run miri                 all tests, with few random cases
//   npm run miri -- wire reader  the tests with one of these words in their path
//
// PROPTEST_CASES sets the number of random cases for each property.

import { fail, run } from './command.mjs'
import { NIGHTLY, missing, skip } from './nightly.mjs'

try {
  const remedy = missing(['miri', 'rust-src'])
  if (remedy === null) await miri(process.argv.slice(2))
  else skip('miri', 'no nightly Rust toolchain with miri and rust-src', remedy)
} catch (error) {
  fail(error)
}

async function miri(filters) {
  const tests = filters.length > 0 ? ` -- ${filters.join(' ')}` : ''
  const output = await run(
    `cargo +${NIGHTLY} miri test --lib --no-default-features --target-dir target/miri${tests}`,
    {
      env: {
        // Miri is several hundred times slower than the machine.
        PROPTEST_CASES: process.env.PROPTEST_CASES ?? '2',
        // proptest looks for the folder of earlier failures.
        MIRIFLAGS: `-Zmiri-disable-isolation ${process.env.MIRIFLAGS ?? ''}`.trim(),
      },
    },
  )
  if (!/[1-9]\d* passed; 0 failed/.test(output)) throw new Error('no test was run')
}
