// Sanitizers, Miri and instrumented standard libraries need a nightly Rust toolchain. Without one,
// a script says what it skipped and succeeds; with UPWIRE_REQUIRE_NIGHTLY=1 it fails instead.

import { execFileSync } from 'node:child_process'
import { CommandError } from './command.mjs'

/** The toolchain, as in `cargo +nightly`. */
export const NIGHTLY = process.env.UPWIRE_NIGHTLY ?? 'nightly'

/**
 * Checks for a nightly toolchain with these components; `null` when everything is there.
 * @param {string[]} components
 * @returns {string | null} the command that installs what is missing
 */
export function missing(components = []) {
  // Asks rustup, because `cargo +nightly` may install a toolchain unasked.
  const toolchains = ask('toolchain list')
  if (toolchains === null)
    return `install rustup (https://rustup.rs), then ${installation(components)}`
  if (!toolchains.split('\n').some((line) => line.startsWith(NIGHTLY))) {
    return installation(components)
  }
  const installed = ask(`component list --installed --toolchain ${NIGHTLY}`) ?? ''
  const absent = components.filter((component) => !installed.includes(component))
  return absent.length === 0 ? null : installation(absent)
}

function installation(components) {
  const list = components.map((component) => ` --component ${component}`).join('')
  return `rustup toolchain install ${NIGHTLY} --profile minimal${list}`
}

function ask(command) {
  try {
    return execFileSync('rustup', command.split(' '), {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch {
    return null
  }
}

/**
 * Reports a skipped check, in a line that begins with its name.
 * @throws {CommandError} with UPWIRE_REQUIRE_NIGHTLY=1
 */
export function skip(name, reason, remedy) {
  const line = `${name}: SKIPPED, ${reason}. To run it: ${remedy}`
  if (process.env.UPWIRE_REQUIRE_NIGHTLY === '1') throw new CommandError(line)
  console.log(`\n${'!'.repeat(72)}\n${line}\n${'!'.repeat(72)}\n`)
}
