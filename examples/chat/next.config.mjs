import { createRequire } from 'node:module'
import { join } from 'node:path'

// The folder whose node_modules holds Next.js: the repository when this app is a workspace of it,
// the app itself when it was copied somewhere else. Said here, or Next.js guesses from lockfiles.
const require = createRequire(import.meta.url)
const root = join(require.resolve('next/package.json'), '../../..')

/** @type {import('next').NextConfig} */
export default {
  reactStrictMode: true,
  outputFileTracingRoot: root,
  turbopack: { root },
}
