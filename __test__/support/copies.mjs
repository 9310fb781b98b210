// Copies of the package as a project may have them: bundled twice, or installed a second time.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Copies the package into a folder of its own.
 * @param {import('node:test').TestContext} t removes it
 * @param {{ dependencies?: string[], native?: boolean }} [parts] the dependencies that it can see (all
 *   by default), and whether it has its binary
 * @returns {string} the folder
 */
export function copyPackage(t, { dependencies, native = true } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'upwire-copy-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const part of ['index.js', 'lib', 'package.json']) {
    cpSync(join(ROOT, part), join(folder, part), { recursive: true })
  }
  mkdirSync(join(folder, 'native'))
  for (const file of readdirSync(join(ROOT, 'native'))) {
    if (native || !file.endsWith('.node'))
      cpSync(join(ROOT, 'native', file), join(folder, 'native', file))
  }
  const modules = join(folder, 'node_modules')
  if (dependencies === undefined) {
    symlinkSync(join(ROOT, 'node_modules'), modules)
  } else {
    mkdirSync(modules)
    for (const name of dependencies)
      symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  }
  return folder
}

/** Loads the package's own files again, as a second bundle or a test runner does. */
export function loadAnew() {
  const require = createRequire(join(ROOT, 'index.js'))
  const isOurs = (file) => file.startsWith(ROOT) && !file.includes('node_modules')
  for (const file of Object.keys(require.cache).filter(isOurs)) delete require.cache[file]
  return require('./index.js')
}

/** Loads the package from such a folder. */
export function load(folder) {
  return createRequire(join(folder, 'index.js'))('./index.js')
}
