import { createRequire } from 'node:module'
import { join } from 'node:path'

// The folder whose node_modules contains Next.js: the repository if this app is a workspace of it, or the
// app itself if it was copied. Without this setting, Next.js guesses the folder from lockfiles.
const require = createRequire(import.meta.url)
const root = join(require.resolve('next/package.json'), '../../..')

/** @type {import('next').NextConfig} */
export default {
  reactStrictMode: true,
  outputFileTracingRoot: root,
  turbopack: { root },
}
