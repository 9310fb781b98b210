// Puts the contents of upwire's tarballs into a project's node_modules, as an installation would. Unpacking
// takes a second; installing would take many.

import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { root, run } from '../../scripts/command.mjs'
import { platformName } from '../../scripts/platform.mjs'

const PACKAGES = ['upwire', `upwire-${platformName}`]

/**
 * Prepares the packages.
 * @param {string} cache
 * @param {'pack' | 'packed' | 'tree'} source pack them; use the ones packed before; or use the files of the
 *   working tree that would be packed, with the addon that was built last
 * @returns {Promise<{ folder: string, hash: string }>}
 */
export async function prepareUpwire(cache, source) {
  const folder = join(cache, 'upwire')
  const tarballs = join(cache, 'tarballs')
  if (source === 'pack') {
    rmSync(tarballs, { recursive: true, force: true })
    await run(`npm run --silent pack:local -- ${tarballs}`, { show: 'failure' })
  }
  rmSync(folder, { recursive: true, force: true })
  if (source === 'tree') await copyTree(folder)
  else await unpack(tarballs, folder)
  return { folder, hash: hashOf(folder) }
}

async function unpack(tarballs, folder) {
  for (const name of PACKAGES) {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json')))
    const tarball = join(tarballs, `${name}-${version}.tgz`)
    mkdirSync(join(folder, name), { recursive: true })
    await run(`tar -xzf ${tarball} --strip-components 1 -C ${join(folder, name)}`)
  }
}

async function copyTree(folder) {
  const [{ files }] = JSON.parse(
    await run('npm pack --json --dry-run --ignore-scripts', { show: 'failure' }),
  )
  const [main, binary] = PACKAGES.map((name) => join(folder, name))
  for (const { path } of files) copy(join(root, path), join(main, path))
  const { version } = JSON.parse(readFileSync(join(root, 'package.json')))
  const addon = `upwire.${platformName}.node`
  copy(join(root, 'native', addon), join(binary, addon))
  const manifest = { name: `upwire-${platformName}`, version, main: addon, files: [addon] }
  writeFileSync(join(binary, 'package.json'), JSON.stringify(manifest))
}

function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true })
  cpSync(from, to)
}

/** Puts the packages into a project, unless it has the same ones already. */
export function placeUpwire(project, { folder, hash }) {
  const marker = join(project, '.upwire')
  if (existsSync(marker) && readFileSync(marker, 'utf8') === hash) return
  rmSync(marker, { force: true })
  for (const name of PACKAGES) {
    const place = join(project, 'node_modules', name)
    rmSync(place, { recursive: true, force: true })
    cpSync(join(folder, name), place, { recursive: true })
  }
  writeFileSync(marker, hash)
}

/** A hash over the names and contents of a folder's files. */
export function hashOf(folder) {
  const hash = createHash('sha256')
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  for (const path of files
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()) {
    hash.update(path.slice(folder.length)).update('\0').update(readFileSync(path)).update('\0')
  }
  return hash.digest('hex')
}
