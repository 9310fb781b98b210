// Runs the models of what threads share (src/runtime/models.rs) in every order that loom finds:
// inbox, mailbox and gauges. Needs no nightly toolchain.
//
//   npm run loom

import { fail, run } from './command.mjs'

try {
  const output = await run(
    'cargo test --lib --no-default-features --features runtime --target-dir target/model models::',
    { env: { RUSTFLAGS: '--cfg model' } },
  )
  // A filter that finds no test is a success to cargo.
  if (!/[1-9]\d* passed; 0 failed/.test(output)) throw new Error('no model was run')
} catch (error) {
  fail(error)
}
