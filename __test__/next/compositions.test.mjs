// withUpwire() together with other wrappers of a config, in every order and form that Next.js accepts.
// Installing the wrappers takes long, so only UPWIRE_COMPOSITIONS=all installs them beside each version.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { cache } from './project.mjs'
import { placeUpwire, prepareUpwire } from './upwire.mjs'
import { versions } from './versions.mjs'
import { runToEnd } from '../support/child.mjs'

const WRAPPERS = [
  ...['next-intl@4', '@next/bundle-analyzer@16', '@next/mdx@16', '@mdx-js/loader@3'],
  ...['@sentry/nextjs@10', '@serwist/next@9', 'serwist@9'],
]
const program = fileURLToPath(new URL('compositions.mjs', import.meta.url))

/** Installs a version of Next.js with the wrappers, once. */
async function install({ next, react }) {
  const folder = join(cache, 'wrappers', next)
  const marker = join(folder, '.installed')
  if (existsSync(marker)) return folder
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true }))
  // Some wrappers do not list every version of Next.js among their peers.
  const flags = ['--legacy-peer-deps', '--no-audit', '--no-fund', '--prefer-offline']
  const packages = [`next@${next}`, `react@${react}`, `react-dom@${react}`, 'socket.io@4']
  await runToEnd('npm', ['install', ...flags, ...packages, ...WRAPPERS], { cwd: folder })
  writeFileSync(marker, '')
  return folder
}

const composed = versions.filter(({ next }) => /^1[456]\./.test(next))
if (process.env.UPWIRE_COMPOSITIONS !== 'all') composed.splice(0, composed.length - 1)

describe('withUpwire() composed with other wrappers', { timeout: 10 * 60_000 }, () => {
  for (const version of composed) {
    test(`keeps every setting on Next.js ${version.next}`, async () => {
      const folder = await install(version)
      placeUpwire(folder, await prepareUpwire(cache, 'tree'))
      const results = JSON.parse(
        (await runToEnd(process.execPath, [program], { cwd: folder })).split('\n').at(-2),
      )
      const names = Object.keys(results)
      assert.equal(names.length, 49)
      assert.deepEqual(results, Object.fromEntries(names.map((name) => [name, []])))
    })
  }
})
