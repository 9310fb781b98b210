// The types agree with the code: type tests, and comparisons of the lists in index.d.ts with the sources.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Engine, EngineSocket } from 'upwire'
import { OPTIONS } from '../../lib/engine/options.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const types = readFileSync(join(root, 'index.d.ts'), 'utf8')

// Apps use two major versions: the newest, and the one that Next.js requires.
for (const folder of ['.', 'examples/chat']) {
  const require = createRequire(join(root, folder, 'package.json'))
  const manifest = require.resolve('typescript/package.json')
  const { version } = require(manifest)
  test(`compiles with TypeScript ${version}`, { timeout: 120_000 }, async () => {
    const tsc = join(dirname(manifest), 'bin', 'tsc')
    const project = fileURLToPath(new URL('.', import.meta.url))
    await promisify(execFile)(process.execPath, [tsc, '--project', project]).catch((error) =>
      assert.fail(error.stdout || error),
    )
  })
}

test('index.d.ts declares every option, and no other', () => {
  const declared = [...members('PathOptions'), ...members('EngineOptions')]
  assert.deepEqual(declared.sort(), Object.keys(OPTIONS).sort())
})

test('index.d.ts declares every unsupported option, and no other', () => {
  const source = readFileSync(join(root, 'lib/engine/options.js'), 'utf8')
  const [table] = source.match(/^const UNSUPPORTED = {.*?^}/ms)
  const refused = [...table.matchAll(/^ {2}(\w+):/gm)].map(([, name]) => name)
  assert.deepEqual(members('UnsupportedOptions').sort(), [...refused, 'httpCompression'].sort())
})

test('index.d.ts declares every error and warning code, and no other', () => {
  const rust = files('src', '.rs').map((file) => file.replace(/#\[cfg\(test\)\]\nmod .*/s, ''))
  const sources = [...files('lib', 'js'), ...rust].join('')
  const declared = new Set([...codes('ErrorCode'), ...codes('CloseErrorCode')])
  assert.deepEqual([...declared].sort(), found(sources, /ERR_UPWIRE_[A-Z0-9_]+/g))
  const warned = found(sources, /(?<=warn\w*\([^;]*?')UPWIRE_\w+(?=')/gi)
  const isError = (code) => code.startsWith('ERR_')
  assert.deepEqual(
    codes('WarningCode')
      .filter((code) => !isError(code))
      .sort(),
    warned,
  )
  assert.ok(
    codes('WarningCode')
      .filter(isError)
      .every((code) => declared.has(code)),
  )
})

test('index.d.ts declares every public method, and no other', () => {
  for (const [name, { prototype }] of Object.entries({ Engine, EngineSocket })) {
    // engine.io declares these as private, and socket.io's type of `io.engine` has them.
    const undeclared = ['createTransport', 'onWebSocket', 'prepare']
    const overridden = ['constructor', 'on', 'addListener', 'once', 'prependListener']
    const methods = Object.entries(Object.getOwnPropertyDescriptors(prototype))
      .filter(([method, { value }]) => typeof value === 'function' && !method.startsWith('_'))
      .map(([method]) => method)
      .filter((method) => !overridden.includes(method) && !undeclared.includes(method))
    const body = types.match(new RegExp(`^declare class ${name} .*?^}`, 'ms'))[0]
    const declared = new Set([...body.matchAll(/^ {2}(\w+)\(/gm)].map(([, method]) => method))
    declared.delete('constructor')
    assert.deepEqual([...declared].sort(), methods.sort())
  }
})

/** The names of an interface's optional members. */
function members(name) {
  const body = types.match(new RegExp(`^interface ${name}\\b.*?^}`, 'ms'))[0]
  return [...body.matchAll(/^ {2}(\w+)\?:/gm)].map(([, member]) => member)
}

/** The strings of a union type. */
function codes(name) {
  const union = types.match(new RegExp(`^type ${name} =.*?\\n\\n`, 'ms'))[0]
  return [...union.matchAll(/'(\w+)'/g)].map(([, code]) => code)
}

function found(text, pattern) {
  return [...new Set(text.match(pattern))].sort()
}

function files(folder, extension) {
  return readdirSync(join(root, folder), { recursive: true })
    .filter((path) => path.endsWith(extension))
    .map((path) => readFileSync(join(root, folder, path), 'utf8'))
}
