// Formats every crate and all JavaScript; `npm run lint` checks the same.

import { fail, run } from './command.mjs'

const MANIFESTS = [
  'Cargo.toml',
  'bench/client/Cargo.toml',
  'fuzz/Cargo.toml',
  'conformance/echo/Cargo.toml',
]

try {
  for (const manifest of MANIFESTS) await run(`cargo fmt --manifest-path ${manifest}`)
  await run('npx --no -- biome check --write')
} catch (error) {
  fail(error)
}
