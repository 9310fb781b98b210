// What JavaScript and Rust agree on: the file that the build writes, and the names that lib/ reads
// from it.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const contract = require('../../native/contract.js')
const native = require('../../native/binding.js')
const lib = fileURLToPath(new URL('../../lib/', import.meta.url))

const sources = readdirSync(lib, { recursive: true })
  .filter((path) => path.endsWith('js'))
  .map((path) => readFileSync(join(lib, path), 'utf8'))
  .join('\n')

test('native/contract.js is what the addon was built with', () => {
  const built = JSON.parse(native.contract())
  const table = (value) => (Array.isArray(value) ? Object.fromEntries(value) : value)
  const entries = Object.entries(built).map(([name, value]) => [name, table(value)])
  assert.deepEqual({ ...contract }, Object.fromEntries(entries))
})

test('every name that lib/ reads from a table is in it', () => {
  const { Fault, SessionTransport, Verdict } = native
  const tables = { ...contract, Fault, SessionTransport, Verdict }
  for (const [table, names] of Object.entries(tables)) {
    if (typeof names !== 'object') continue
    for (const [, name] of sources.matchAll(new RegExp(`\\b${table}\\.(\\w+)`, 'g'))) {
      assert.ok(Object.hasOwn(names, name), `${table}.${name}`)
    }
  }
})

test('every export of the addon that a command names exists', () => {
  const names = [...sources.matchAll(/\bcommand\('(\w+)'/g)].map(([, name]) => name)
  assert.ok(names.length > 10)
  for (const name of names) assert.equal(typeof native[name], 'function', name)
})
