// One project per version of Next.js. Its node_modules stay, and its app is replaced for each cell.

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
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { root } from '../../scripts/command.mjs'
import { runToEnd } from '../support/child.mjs'
import { environment } from '../support/environment.mjs'
import { sources } from './shapes.mjs'

export const cache = process.env.UPWIRE_NEXT_CACHE ?? join(homedir(), '.cache', 'upwire', 'next')

const KEPT = new Set([
  ...['node_modules', 'package.json', 'package-lock.json', '.installed', 'install.log'],
  ...['.upwire', 'results.json', 'logs', '.next'],
])

export const projectOf = (version) => join(cache, version.next)

/** Installs the packages of a version, once. */
export async function install(version) {
  const project = projectOf(version)
  const marker = join(project, '.installed')
  if (existsSync(marker)) return project
  mkdirSync(project, { recursive: true })
  const manifest = { name: 'app', private: true, version: '0.0.0' }
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest))
  const flags = ['--save-exact', '--no-audit', '--no-fund', '--prefer-offline']
  const log = await runToEnd('npm', ['install', ...flags, ...packages(version)], { cwd: project })
  writeFileSync(join(project, 'install.log'), log)
  writeFileSync(marker, '')
  return project
}

function packages({ next, react }) {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json')))
  return [
    `next@${next}`,
    ...[`react@${react}`, `react-dom@${react}`, `@types/react@${react}`],
    ...[`@types/react-dom@${react}`, '@types/node@20', 'typescript@5'],
    ...['socket.io@4', 'socket.io-client@4'],
    // upwire itself is unpacked, not installed, so npm does not install its dependencies.
    ...Object.entries(dependencies).map(([name, range]) => `${name}@${range}`),
  ]
}

/** Replaces the app. Builds it for production, unless the last build was of the same app. */
export async function prepareApp(cell, project, upwire, timeout) {
  const { shape, bundler } = cell
  for (const name of readdirSync(project)) {
    if (!KEPT.has(name)) rmSync(join(project, name), { recursive: true })
  }
  const files = sources(cell)
  write(project, files)
  if (shape.server) write(project, { 'server.js': shape.server(cell) })

  const key = createHash('sha256')
    .update(JSON.stringify([files, bundler.name, upwire.hash]))
    .digest('hex')
  const build = join(project, '.next')
  const marker = join(build, 'cell')
  const isBuilt = existsSync(marker) && readFileSync(marker, 'utf8') === key
  if (shape.dev || !isBuilt) rmSync(build, { recursive: true, force: true })
  if (shape.dev) return
  if (!isBuilt) {
    const args = [nextCommand(project), 'build', ...bundler.flags]
    const env = { NODE_ENV: 'production' }
    await runToEnd(process.execPath, args, { cwd: project, env: environment(env), timeout })
    writeFileSync(marker, key)
  }
  if (shape.command === 'standalone') copyStandalone(cell, project)
}

function write(folder, files) {
  for (const [name, code] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), code)
  }
}

export const nextCommand = (project) => join(project, 'node_modules', 'next', 'dist', 'bin', 'next')

export const standaloneOf = (version) => join(cache, 'standalone', version.next)

/** Copies the folder out of the project, in which Node would find files that the folder lacks. */
function copyStandalone({ version, shape }, project) {
  const folder = standaloneOf(version)
  rmSync(folder, { recursive: true, force: true })
  cpSync(join(project, '.next', 'standalone'), folder, { recursive: true, verbatimSymlinks: true })
  if (shape.server) cpSync(join(project, 'server.js'), join(folder, 'server.js'))
}
