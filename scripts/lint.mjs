// Checks format, lints and types of everything; exits with 1 when something is wrong. `npm run
// format` fixes what can be fixed automatically.

import { CommandError, fail, run } from './command.mjs'

const CLIENT = '--manifest-path bench/client/Cargo.toml'
const FUZZ = '--manifest-path fuzz/Cargo.toml'
const ECHO = '--manifest-path conformance/echo/Cargo.toml'

const LINES = [
  'cargo fmt --check',
  `cargo fmt --check ${CLIENT}`,
  `cargo fmt --check ${FUZZ}`,
  `cargo fmt --check ${ECHO}`,
  // Each ring with the features that it may use, and the addon with the features of the tests.
  ...[
    '--no-default-features',
    '--no-default-features --features runtime',
    '--no-default-features --features runtime,stream-only',
    '',
    '--features test-panic',
    '--features stream-only',
  ].map(clippy),
  clippy(CLIENT),
  clippy(`${FUZZ} --no-default-features`),
  clippy(ECHO),
  'npx --no -- biome ci --error-on-warnings',
  'npx --no -- tsc --project __test__/types',
  'npm run --silent typecheck --workspace examples/chat',
  'npm run --silent typecheck --workspace examples/custom-server',
  'npm run --silent typecheck --workspace examples/pages-api',
  'npm run --silent typecheck --workspace examples/app-router',
]

let failed = 0
for (const line of LINES) {
  console.log(`\n> ${line}`)
  try {
    await run(line)
  } catch (error) {
    if (!(error instanceof CommandError)) fail(error)
    console.error(error.message)
    failed++
  }
}
console.log(failed === 0 ? '\nAll clean' : `\n${failed} of ${LINES.length} found something`)
process.exit(failed > 0 ? 1 : 0)

function clippy(flags) {
  const parts = ['cargo clippy --all-targets', flags, '-- -D warnings']
  return parts.filter(Boolean).join(' ')
}
