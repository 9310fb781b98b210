// Loads next.config files in which withUpwire() is composed with other wrappers, through Next.js's own
// loader, and prints what each composition lacks as JSON. The current folder has the packages.

import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const folder = process.cwd()
const require = createRequire(join(folder, 'next.config.js'))
const loadConfig = require('next/dist/server/config').default
const { registry } = require(join(require.resolve('upwire'), '../lib/socketio/registry.js'))

const CONFIG = "{ env: { NAME: 'app' }, reactStrictMode: true }"

/** Wrappers of a config, as the documentation of each uses it. */
const wrappers = {
  'a spread': "(config) => ({ ...config, pageExtensions: ['tsx', 'mdx'] })",
  'next-intl': "require('next-intl/plugin')('./request.js')",
  '@next/mdx': "require('@next/mdx')({ extension: /\\.mdx$/ })",
  '@next/bundle-analyzer': "require('@next/bundle-analyzer')({ enabled: true })",
  '@sentry/nextjs':
    "(config) => require('@sentry/nextjs').withSentryConfig(config, { silent: true, telemetry: false })",
  '@serwist/next': "require('@serwist/next').default({ swSrc: 'sw.js', swDest: 'public/sw.js' })",
}
wrappers['all of them'] =
  `(config) => [${Object.values(wrappers)}].reduce((given, wrap) => wrap(given), config)`

const places = {
  inside: `wrap(withUpwire(${CONFIG}))`,
  around: `withUpwire(wrap(${CONFIG}))`,
  'inside, in a function': `(phase) => wrap(withUpwire(${CONFIG}))`,
  'inside, in an async function': `async (phase) => wrap(withUpwire(${CONFIG}))`,
  'around, in a function': `(phase) => withUpwire(wrap(${CONFIG}))`,
  'around a function': `withUpwire((phase) => wrap(${CONFIG}))`,
  'around an async function': `withUpwire(async (phase) => wrap(${CONFIG}))`,
}

const results = {}
for (const [name, wrapper] of Object.entries(wrappers)) {
  for (const [place, code] of Object.entries(places)) {
    results[`${place}: ${name}`] = await lacks(wrapper, code)
  }
}
console.log(JSON.stringify(results))
process.exit()

/** Lists what is missing: the app's own settings, upwire's settings, or the early claim. */
async function lacks(wrapper, code) {
  const app = join(folder, `app-${Object.keys(results).length}`)
  mkdirSync(join(app, 'app'), { recursive: true })
  writeFileSync(join(app, 'request.js'), '')
  writeFileSync(
    join(app, 'next.config.js'),
    `const { withUpwire } = require('upwire/next')\nconst wrap = ${wrapper}\nmodule.exports = ${code}\n`,
  )
  process.chdir(app)
  registry.early?.giveUp()
  registry.early = undefined
  try {
    const config = await loadConfig('phase-production-server', app, { silent: true })
    const external =
      config.serverExternalPackages ?? config.experimental.serverComponentsExternalPackages
    return [
      config.env?.NAME === 'app' && config.reactStrictMode ? '' : 'the app’s settings',
      external?.includes('upwire') ? '' : 'the external packages',
      registry.early === undefined ? 'the early claim' : '',
    ].filter(Boolean)
  } catch (error) {
    return [error.message]
  }
}
