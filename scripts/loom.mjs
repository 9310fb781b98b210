// Runs the models of the state that threads share (inbox, mailbox and gauges, in
// src/runtime/models.rs) in every order that loom finds. Needs no nightly toolchain.
//
//   npm run loom

import { fail, run } from './command.mjs'

try {
  const output = await run(
    'cargo test --lib --no-default-features --features runtime --target-dir target/model models::',
    { env: { RUSTFLAGS: '--cfg model' } },
  )
  // For cargo, a filter that matches no test is a success.
  if (!/[1-9]\d* passed; 0 failed/.test(output)) throw new Error('no model was run')
} catch (error) {
  fail(error)
}
