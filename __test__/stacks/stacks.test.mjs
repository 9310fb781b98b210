// Installs the packages of the stacks in this folder, which has its own package.json so that they are no
// dependencies of the repository, and runs the stacks.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { run } from '../../scripts/command.mjs'

const folder = fileURLToPath(new URL('.', import.meta.url))

if (!existsSync(new URL('node_modules/.package-lock.json', import.meta.url))) {
  await run('npm ci --ignore-scripts --no-audit --no-fund', { cwd: folder, show: 'failure' })
}
await import('./frameworks.mjs')
await import('./beside.mjs')
await import('./sticky.mjs')
