// The names of this platform: napi-rs's for packages, and cargo's for files.

import { execFileSync } from 'node:child_process'

const ABIS = { darwin: '', linux: isMusl() ? '-musl' : '-gnu', win32: '-msvc' }

/** As in `upwire.linux-x64-gnu.node` and `upwire-linux-x64-gnu`. */
export const platformName = `${process.platform}-${process.arch}${ABIS[process.platform] ?? ''}`

/** The file that `cargo build` produces. */
export const libraryName =
  { darwin: 'libupwire.dylib', win32: 'upwire.dll' }[process.platform] ?? 'libupwire.so'

export const musl = isMusl()

function isMusl() {
  return process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime
}

/** The target that rustc builds for by default, as in `x86_64-unknown-linux-gnu`. */
export function hostTriple() {
  const [, triple] = execFileSync('rustc', ['-vV'], { encoding: 'utf8' }).match(/^host: (.+)$/m)
  return triple
}
