// Builds the addon in an installed package where no prebuilt one exists; needs only cargo.
//
//   npm run build-from-source --prefix node_modules/upwire

import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fail, root, run } from './command.mjs'
import { libraryName, musl, platformName } from './platform.mjs'

const given = process.env.CARGO_TARGET_DIR
const folder = given ?? (await mkdtemp(join(tmpdir(), 'upwire-')))
const flags = process.env.RUSTFLAGS ?? ''
const addon = join(root, 'native', `upwire.${platformName}.node`)

try {
  console.log(`Building upwire for ${platformName}. This takes a minute or two.`)
  await run('cargo build --release --locked', {
    env: {
      CARGO_TARGET_DIR: folder,
      // A library that Node loads must share Node's libc.
      ...(musl ? { RUSTFLAGS: `${flags} -C target-feature=-crt-static` } : {}),
    },
  })
  await copyFile(join(folder, 'release', libraryName), addon)
  createRequire(import.meta.url)('..')
  console.log(`Built ${addon}`)
} catch (error) {
  fail(error)
} finally {
  if (given === undefined) await rm(folder, { recursive: true, force: true })
}
